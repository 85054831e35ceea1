"""Measure how early the embedding of grokking-p113 shows which frequencies it will end up with."""

import numpy as np
import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

P = 113
EPOCHS = (0, 200, 400, 1000, 2000, 2800, 3800, 4800, 5800, 6600, 7000, 7400, 7600, 8200, 8800, 9800, 11900)
FINAL = (1, 21, 49)
"""The key frequencies of the finished model, which its card lists."""
MEMORISED = 200
"""The epoch by which the training pairs are memorised."""


def power(epoch: int) -> np.ndarray:
    """The share of the embedding's squared norm at each frequency from 1 to 56."""
    W_E = ms.load_model("grokking-p113", checkpoint_value=epoch).W_E[:P].detach().double()
    squared = torch.fft.rfft(W_E, dim=0).abs().square().sum(1)[1:].numpy()
    return squared / squared.sum()


def starting_point(seed: int = 0) -> StartingPoint:
    """Where the final frequencies stand in the ranking of all 56 at every checkpoint. Nothing in it is random."""
    powers = {epoch: power(epoch) for epoch in EPOCHS}
    # Rank 1 is the frequency with the largest share.
    ranks = {
        frequency: [int((powers[epoch] > powers[epoch][frequency - 1]).sum()) + 1 for epoch in EPOCHS]
        for frequency in FINAL
    }
    first = [ranks[frequency][0] for frequency in FINAL]
    memorised = [ranks[frequency][EPOCHS.index(MEMORISED)] for frequency in FINAL]
    settled = next(
        epoch for place, epoch in enumerate(EPOCHS) if max(ranks[f][place] for f in FINAL) <= len(FINAL)
    )
    figure = viz.curves(
        EPOCHS,
        {f"frequency {frequency}": ranks[frequency] for frequency in FINAL},
        title="Rank of the final frequencies in the embedding of grokking-p113",
        x_title="epoch",
        y_title="rank among 56 frequencies (1 has most power)",
        points=True,
    )
    return StartingPoint(
        baseline={
            "mean rank of the final frequencies at epoch 0 (chance is 28.5)": float(np.mean(first)),
            "mean rank of the final frequencies at epoch 200 (chance is 28.5)": float(np.mean(memorised)),
            "first checkpoint whose three strongest frequencies are the final ones (epoch)": float(settled),
        },
        figure=figure,
        caption=(
            f"At epoch 0 the three final frequencies have ranks {', '.join(map(str, first))}; once the training pairs "
            f"are memorised, {', '.join(map(str, memorised))}. From epoch {settled:,} on they lead."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
