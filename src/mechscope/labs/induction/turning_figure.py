"""The figure of claim 3.13: the paths of both models' per-token losses."""

from __future__ import annotations

import torch

from mechscope.labs.induction.change_point import halfway_step
from mechscope.labs.induction.training import TrainedModel
from mechscope.labs.induction.turning import principal_path
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance
from mechscope.viz.template import new_figure


def draw_turning(two: TrainedModel, one: TrainedModel, seed: int) -> LabFigure:
    """The path of each model in the plane of its first two principal components."""
    title = "Which way the losses of single tokens go while a model learns"
    figure = new_figure(
        title, "first principal component (nats per token)", "second principal component", height=460
    )
    step = two.history.step
    change = halfway_step(step, two.history.prefix.amax((1, 2)))
    at_change = int((step - change).abs().argmin())
    paths: dict[str, torch.Tensor] = {}
    for name, trained in (("two layers", two), ("one layer", one)):
        losses = trained.history.token_losses
        path, _ = principal_path(losses)
        path = path / losses.shape[1] ** 0.5
        # The sign of a component is arbitrary: both paths go from left to right, and bend upwards.
        away = torch.stack([path[-1, 0] - path[0, 0], path[at_change, 1]])
        path = torch.where(away < 0, -path, path)
        paths[name] = path
        x, y = path.T.tolist()
        here = [index == at_change for index in range(len(step))]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name=name,
            marker={
                "size": [12 if change else 4 for change in here],
                "symbol": ["diamond" if change else "circle" for change in here],
            },
            customdata=step.tolist(),
            hovertemplate="step %{customdata}<extra>" + name + "</extra>",
        )
    figure.update_yaxes(scaleanchor="x")
    data = stacked_result(
        paths,
        ("model", "step", "component"),
        title,
        "nats per token",
        Provenance("attention-only, 2 and 1 layers", "random tokens with a repeated segment", seed),
        {"step": step.tolist(), "component": [1, 2]},
    )
    return LabFigure(
        "turning",
        figure,
        "Each point is a look at the training: the losses on all tokens of the test sequences, seen in the plane in "
        "which they vary most (each model has its own plane). The diamonds are where the two-layer model's prefix "
        "score changes. Look at the corners of both lines: is there one at its diamond, and only with two layers?",
        {"paths": data},
    )
