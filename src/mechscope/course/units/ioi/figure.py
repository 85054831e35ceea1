"""The final figure of unit 04: the circuit of the bundled twin, found and judged with the learner's functions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

import mechscope as ms
from mechscope.course.figure import UnitFigure

USES = ("logit_difference", "patch_at", "enough_and_needed", "circuit_logits", "null_circuits")
PROMPTS, NULLS = 64, 20
SMALLEST = 0.1
"""A head belongs to the circuit if breaking it at S2 or at the end costs at least this share."""


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Find the heads that are needed, run them alone, and compare with random circuits.

    Args:
        functions: an object with the functions of USES.
        seed: seed of the prompts and of the random circuits.
    """
    found = _measure(functions, seed)
    heads = [f"a{layer}.h{head}" for layer, head in found.circuit.nonzero().tolist()]
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=("Lost if a head is broken", "Left if only these heads work"),
        column_widths=[0.5, 0.5],
        horizontal_spacing=0.2,
    )
    figure.add_trace(
        go.Heatmap(
            z=found.needed.numpy(),
            x=[str(head) for head in range(found.needed.shape[1])],
            y=[str(layer) for layer in range(found.needed.shape[0])],
            zmid=0,
            colorscale="RdBu",
            texttemplate="%{z:.2f}",
            showscale=False,
            hovertemplate="layer %{y}, head %{x}: %{z:.2f}<extra></extra>",
        ),
        1,
        1,
    )
    for name, shares, symbol in (
        (f"your circuit: {', '.join(heads)}", [found.share], "diamond"),
        (f"{NULLS} random circuits with as many heads in each layer", found.nulls, "circle-open"),
    ):
        marker = {"symbol": symbol, "size": 10}
        column = ["circuit" if symbol == "diamond" else "random"] * len(shares)
        figure.add_trace(go.Scatter(x=column, y=shares, mode="markers", marker=marker, name=name), 1, 2)
    figure.update_xaxes(title="head", row=1, col=1)
    figure.update_yaxes(title="layer", row=1, col=1)
    figure.update_xaxes(title="heads that work", row=1, col=2)
    figure.update_yaxes(title="share of the logit difference", row=1, col=2)
    figure.update_layout(
        title="The circuit of the twin for indirect objects", legend={"orientation": "h", "y": -0.25}
    )
    return UnitFigure(
        figure=figure,
        caption=(
            f"Breaking any of {len(heads)} of the {found.needed.numel()} heads, at S2 or at the end, costs at least "
            f"{SMALLEST:.0%} of the logit difference. These heads alone keep {found.share:.0%} of it; the best of "
            f"{NULLS} random circuits keeps {max(found.nulls):.0%}."
        ),
        number=found.share,
        number_is="the share of the logit difference that the circuit alone keeps",
        expected=(0.85, 1.1),
    )


def _measure(functions: Any, seed: int) -> SimpleNamespace:
    twin = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(twin, n=PROMPTS, seed=seed)
    wrong, templates = task.answers.wrong, task.templates
    assert wrong is not None and templates is not None
    io, s = task.answers.correct[:, 0, 0], wrong[:, 0, 0]

    def metric(logits: Tensor) -> Tensor:
        return functions.logit_difference(logits, io, s, task.positions["end"]).mean()

    def share(circuit: Tensor) -> float:
        heads = {(layer, head) for layer, head in circuit.nonzero().tolist()}
        given = (twin, task.clean, templates, task.corrupted, templates, heads)
        return float(metric(functions.circuit_logits(*given)) / whole)

    with torch.no_grad():
        whole = metric(twin(task.clean))
        needed = torch.stack(
            [
                functions.enough_and_needed(
                    twin, task.clean, task.corrupted, "z", task.positions[place], metric
                )[1]
                for place in ("S2", "end")
            ]
        ).amax(0)
        circuit = needed >= SMALLEST
        nulls = [share(null) for null in functions.null_circuits(circuit, NULLS, seed)]
        return SimpleNamespace(needed=needed, circuit=circuit, share=share(circuit), nulls=nulls)
