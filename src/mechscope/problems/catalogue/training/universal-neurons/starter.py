"""How many neurons does a second seed of the model have as well, and can the first model tell which?"""

import numpy as np
import torch
from scipy.stats import rankdata

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries.evaluation import universality
from mechscope.problems import StartingPoint, run_starter

HOOK = "blocks.0.mlp.hook_post"
ROWS = 300
UNIVERSAL = 0.2
"""A neuron is called universal if its correlation exceeds that of rotated neurons by this much."""


def starting_point(seed: int = 0) -> StartingPoint:
    text = "\n".join(read_standard_library()[name] for name in HELD_OUT_CODE)
    neurons = {}
    for name in ("mini-gelu-1l", "mini-gelu-1l-seed1"):
        model = ms.load_model(name)
        begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
        width = model.cfg.n_ctx - 1
        rows = torch.tensor(ids[: ROWS * width]).view(ROWS, width)
        tokens = torch.cat([torch.full((ROWS, 1), begin), rows], 1)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=HOOK)
        neurons[name] = cache[HOOK][:, 1:].flatten(0, 1)
    one, two = neurons.values()
    best = universality((one, two)).max_correlation
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(two.shape[1], two.shape[1], generator=generator)).Q
    null = universality((one, two @ turn)).max_correlation
    excess = best - null
    universal = float((excess > UNIVERSAL).double().mean())

    # One guess from the first model alone: neurons with heavy tails have a meaning, and so a partner.
    x = (one - one.mean(0)) / one.std(0)
    guess = float(np.corrcoef(rankdata(x.pow(4).mean(0)), rankdata(excess))[0, 1])
    quantiles = torch.linspace(0, 1, len(best))
    figure = viz.curves(
        quantiles,
        {
            "neurons of the other seed": best.sort().values,
            "rotated neurons of the other seed": null.sort().values,
        },
        title="Does another seed have the same neurons? (mini-gelu-1l, Python code)",
        x_title="share of neurons with a smaller correlation",
        y_title="largest correlation with a neuron",
    )
    return StartingPoint(
        baseline={
            "universal neurons (share)": universal,
            "median largest correlation": float(best.median()),
            "median largest correlation with rotated neurons": float(null.median()),
            "rank correlation of a neuron's kurtosis with its excess": guess,
        },
        figure=figure,
        caption=(
            f"The median neuron has a partner with a correlation of {float(best.median()):.2f}; after a rotation, "
            f"which keeps everything but the single neurons, it has {float(null.median()):.2f}. {universal:.0%} exceed "
            f"the rotation by more than {UNIVERSAL}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
