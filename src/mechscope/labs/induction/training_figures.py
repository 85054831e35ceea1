"""Figures of training: loss curves, the phase change, smeared keys, and the paths of per-token losses."""

from __future__ import annotations

import torch

from mechscope.labs.induction.change_point import halfway_step
from mechscope.labs.induction.measures import curves
from mechscope.labs.induction.training import SmearedModel, TrainedModel
from mechscope.labs.induction.turning import principal_path
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance
from mechscope.viz import Marker
from mechscope.viz.template import new_figure


def draw_loss_curves(two: TrainedModel, one: TrainedModel, made_by: Provenance) -> LabFigure:
    """Loss on the second copy over training."""
    series = {"two layers": two.history.repeated, "one layer": one.history.repeated}
    title = "Learning to use the repeat: loss on the second copy"
    coords = {"step": two.history.step.numpy()}
    figure = LabFigure.of(
        stacked_result(series, ("model", "step"), title, "nats", made_by, coords),
        "Same data, same number of steps. Look for the moment when the two-layer model leaves the slow slope, "
        "and for the level that the one-layer model never gets below.",
        name="loss-curves",
        key="losses",
        y_title="loss on the second copy (nats)",
    )
    figure.figure.update_yaxes(rangemode="tozero")
    return figure


def draw_phase_change(two: TrainedModel, made_by: Provenance) -> LabFigure:
    """The three curves that change together, each scaled to go from 0 to 1."""
    history = two.history
    names = {
        "in_context": "in-context-learning score",
        "prefix": "best prefix score",
        "repeated": "loss on repeated tokens",
    }
    raw = curves(history)
    scaled = {names[name]: (curve - curve[0]) / (curve[-1] - curve[0]) for name, curve in raw.items()}
    halfway = [halfway_step(history.step, curve) for curve in raw.values()]
    coords = {"step": history.step.numpy()}
    return LabFigure.of(
        stacked_result(scaled, ("series", "step"), "Three curves, one moment", "share", made_by, coords),
        "Each curve is scaled to go from 0 (start) to 1 (end). Look whether the rise of the induction head (the prefix "
        "score), the use of context and the loss on repeats can be told apart in time.",
        name="phase-change",
        key="curves",
        y_title="share of the whole change",
        markers=[Marker(sum(halfway) / len(halfway), "halfway")],
    )


def draw_smeared(two: TrainedModel, one: TrainedModel, smeared: SmearedModel, seed: int) -> LabFigure:
    """Best prefix scores over the training of three models: two layers, one, and one with smeared keys."""
    histories = {
        "one layer, smeared keys": smeared.history,
        "two layers": two.history,
        "one layer": one.history,
    }
    result = stacked_result(
        {name: history.prefix.amax((1, 2)) for name, history in histories.items()},
        ("series", "step"),
        "One layer can do it if its keys contain the previous token",
        "attention",
        Provenance("attention-only transformers", "random tokens with a repeated segment", seed),
        {"step": two.history.step.tolist()},
    )
    figure = LabFigure.of(
        result,
        "Same data and number of steps for all three. Which of the one-layer models forms the head? And which "
        "of the two models that form it is first?",
        name="smeared-keys",
        key="scores",
        y_title="best prefix score",
    )
    figure.figure.update_yaxes(rangemode="tozero")
    return figure


def draw_turning(two: TrainedModel, one: TrainedModel, seed: int) -> LabFigure:
    """The path of each model's per-token losses, in the plane of its first two principal components."""
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
        marked = [index == at_change for index in range(len(step))]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name=name,
            marker={
                "size": [12 if mark else 4 for mark in marked],
                "symbol": ["diamond" if mark else "circle" for mark in marked],
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
        "Each point is one evaluation during training: the losses on all tokens of the test sequences, seen in the "
        "plane in which they vary most (each model has its own plane). The diamonds are where the two-layer model's "
        "prefix score changes. Look at the corners of both lines: is there one at its diamond, and only with two "
        "layers?",
        {"paths": data},
    )
