"""Measure how well the channels of two digit networks can be paired, next to networks that were never trained."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter
from mechscope.subjects import DigitsCNN

IMAGES = 300
BLOCKS = (0, 1)


@torch.no_grad()
def channel_responses(model: DigitsCNN, images: torch.Tensor, block: int) -> np.ndarray:
    """What each channel does before its ReLU, at every position of every image: [channel, image and position]."""
    name = f"blocks.{block}.hook_pre"
    _, cache = model.run_with_cache(images, names_filter=name)
    return cache[name].transpose(0, 1).flatten(1).numpy()


def paired_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Mean |correlation| of the pairs, when every channel gets one partner and the sum is as large as possible."""
    n = len(first)
    correlation = np.abs(np.corrcoef(first, second)[:n, n:])
    rows, columns = linear_sum_assignment(-correlation)
    return float(correlation[rows, columns].mean())


def starting_point(seed: int = 0) -> StartingPoint:
    """Pair the channels of digits-cnn with those of digits-cnn-seed1; the seed decides the untrained networks."""
    images = load_digits().test_x[:IMAGES]
    trained = [ms.load_subject("digits-cnn"), ms.load_subject("digits-cnn-seed1")]
    untrained = [DigitsCNN(seed=1000 + 2 * seed), DigitsCNN(seed=1001 + 2 * seed)]
    found = {
        name: [
            paired_correlation(*(channel_responses(model, images, block) for model in pair))
            for block in BLOCKS
        ]
        for name, pair in {
            "both trained": trained,
            "neither trained": untrained,
            "one trained": [trained[0], untrained[0]],
        }.items()
    }
    figure = viz.bars(
        [f"block {block}" for block in BLOCKS],
        found,
        title="How well the channels of two networks can be paired",
        x_title="layer",
        y_title="mean |correlation| of paired channels",
        number_format=".2f",
    )
    both, neither = found["both trained"], found["neither trained"]
    return StartingPoint(
        baseline={
            "block 0, both trained (mean |correlation|)": both[0],
            "block 0, neither trained (mean |correlation|)": neither[0],
            "block 1, both trained (mean |correlation|)": both[1],
            "block 1, neither trained (mean |correlation|)": neither[1],
        },
        figure=figure,
        caption=(
            f"In block 1 the channels of two trained networks agree to {both[1]:.2f}, those of two untrained ones to "
            f"{neither[1]:.2f}: the second bar is what pairing alone achieves."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
