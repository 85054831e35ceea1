"""Plotly figures of frontiers, with one line per architecture and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from mechscope.dictionaries.frontier.points import Point, Sweep
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.template import DASHES, new_figure
from mechscope.viz.ticks import log_axis

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
"""Line dashes, so that architectures differ in more than colour."""
WORDS: Mapping[str, str] = {
    "relu": "ReLU-L1",
    "gated": "gated",
    "jumprelu": "JumpReLU",
    "topk": "TopK",
    "batch_topk": "BatchTopK",
    "matryoshka": "Matryoshka",
}
"""Architecture → its label in figures."""


@dataclass(frozen=True)
class Measure:
    """A measure that is drawn against L0."""

    name: str
    """A short name for files."""
    title: str
    """Title of the figure, followed by "of …"."""
    axis: str
    """Label of its axis, with the unit."""
    value: Callable[[Point], float | None]
    """The value of a point; None if it was not measured."""
    caption: str
    """The caption."""
    log: bool = False
    """Whether the axis is logarithmic if all values are above zero."""


MEASURES = (
    Measure(
        "fvu",
        "What each active feature buys",
        "fraction of variance unexplained",
        lambda point: point.fvu,
        "Held-out activations. Lower and further left is better; lines that cross have no order. Each seed is a line "
        "of its own.",
        log=True,
    ),
    Measure(
        "delta-ce",
        "What the reconstruction costs the model",
        "loss added when spliced in (nats)",
        lambda point: point.delta_ce,
        "The same dictionaries in the place of the activations. Is the order the same as by variance? A reconstruction "
        "may miss variance that the model does not use.",
        log=True,
    ),
    Measure(
        "mmcs",
        "Are the features the true ones?",
        "MMCS, true to learned",
        lambda point: point.mmcs,
        "Mean over the true features of the largest cosine with a learned one; 1 is perfect. The best L0 is not the "
        "largest: look where each line peaks.",
    ),
)
"""The measures that are drawn if a sweep has them."""


def drawn_measures(sweep: Sweep) -> list[Measure]:
    """The measures that this sweep has."""
    return [
        measure for measure in MEASURES if all(measure.value(point) is not None for point in sweep.points)
    ]


def frontier_figures(sweep: Sweep) -> dict[str, tuple[go.Figure, Measure]]:
    """One figure per measure, by the measure's name."""
    return {measure.name: (frontier_figure(sweep, measure), measure) for measure in drawn_measures(sweep)}


def frontier_figure(sweep: Sweep, measure: Measure) -> go.Figure:
    """A figure of L0 against a measure."""
    figure = new_figure(measure.title, "active features per example (L0)", measure.axis, height=440)
    # Seeds of an architecture share a colour; with a single seed, the theme gives each line its own.
    colours = LIGHT_PALETTE.series if len(sweep.config.seeds) > 1 else (None,)
    for index, architecture in enumerate(sweep.architectures):
        name = WORDS.get(architecture, architecture)
        for number, seed in enumerate(sweep.config.seeds):
            line = sweep.of(architecture, seed)
            figure.add_scatter(
                x=[point.l0 for point in line],
                y=[measure.value(point) for point in line],
                name=escape(name),
                legendgroup=architecture,
                showlegend=number == 0,
                mode="lines+markers",
                line={
                    "dash": DASHES[index % len(DASHES)],
                    "width": 2,
                    "color": colours[index % len(colours)],
                },
                marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
                customdata=[(point.sparsity, point.dead_share, seed) for point in line],
                hovertemplate=f"{escape_in_template(name)} %{{customdata[0]:g}}, seed %{{customdata[2]}}"
                "<br>L0 %{x:.3g}, %{y:.4g}<br>%{customdata[1]:.1%} dead<extra></extra>",
            )
    values: list[Any] = [measure.value(point) for point in sweep.points]
    figure.update_xaxes(log_axis(point.l0 for point in sweep.points))
    if measure.log and min(values) > 0:
        figure.update_yaxes(log_axis(values))
    return figure
