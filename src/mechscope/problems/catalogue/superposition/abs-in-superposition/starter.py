"""Does a layer of 40 neurons compute more absolute values than the 20 that it has room for?"""

import numpy as np
import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

INPUTS = 40_000


def starting_point(seed: int = 0) -> StartingPoint:
    group = ms.load_toy_models()["abs"]
    n, room = group.group.n_features, group.group.n_hidden // 2  # |x| = ReLU(x) + ReLU(-x): two neurons each
    generator = torch.Generator().manual_seed(seed)
    ratios, computed = [], []
    for setting, density in enumerate(group.group.density):
        model = group.models.select(setting, group.best(setting))
        importance = torch.tensor(group.group.importance[setting])
        x = 2 * torch.rand(1, n, INPUTS, generator=generator) - 1
        x *= torch.rand(1, n, INPUTS, generator=generator) < density
        target = x.abs()[0]
        error = (model(x)[0, 0] - target).square().mean(1)
        variance = target.var(1)
        # The honest rival: the most important values exactly, a constant for each of the others.
        ratios.append(float((importance * error).sum() / (importance * variance)[room:].sum()))
        computed.append(int((error < 0.25 * variance).sum()))
    density = np.array(group.group.density)
    figure = viz.curves(
        density,
        {"values computed (error below a quarter of the variance)": computed},
        title=f"{n} absolute values, {group.group.n_hidden} neurons",
        x_title="density (probability that an input is not zero)",
        y_title="absolute values computed",
        log_x=True,
        points=True,
        markers=[viz.Marker(room, "room without superposition", "y")],
    )
    sparsest = int(density.argmin())
    return StartingPoint(
        baseline={
            "loss at the lowest density (share of the loss without superposition)": ratios[sparsest],
            "loss at the highest density (share of the loss without superposition)": ratios[
                int(density.argmax())
            ],
            "values computed at the lowest density": float(computed[sparsest]),
        },
        figure=figure,
        caption=(
            f"Two neurons per value leave room for {room}. From the highest to the lowest density, networks compute "
            f"{', '.join(str(computed[i]) for i in density.argsort()[::-1])}; their loss is "
            f"{', '.join(f'{ratios[i]:.2g}' for i in density.argsort()[::-1])} of what {room} exact values and "
            "constants would cost."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
