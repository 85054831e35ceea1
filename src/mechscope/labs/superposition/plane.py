"""Features as arrows in a plane: one panel per model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition.geometry import REPRESENTED
from mechscope.results import Provenance
from mechscope.viz.escaping import escape
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.template import LIGHT, house_template

PAGE_WIDTH = 784
"""Width in pixels of a figure in a report on a wide screen."""
LEFT, BOTTOM, TOP = 64, 56, 30
"""Pixels for the title of the y axis, the title of the x axis, and the panels' titles."""


def planes_figure(
    name: str,
    panels: Mapping[str, Tensor],
    title: str,
    caption: str,
    made_by: Provenance,
    *,
    columns: int = 3,
) -> LabFigure:
    """The figure that `draw_planes` draws, with its numbers.

    Args:
        panels: title of a panel → W [2, feature].

    Raises:
        ValueError: as `draw_planes`.
    """
    data = stacked_result(panels, ("label", "dimension", "feature"), title, "weight", made_by)
    return LabFigure(name, draw_planes(panels, title=title, columns=columns), caption, {"W": data})


def draw_planes(panels: Mapping[str, Tensor], *, title: str, columns: int = 3) -> go.Figure:
    """The columns of each W [2, feature] as arrows from the origin; a feature keeps its colour and number.

    Raises:
        ValueError: if there is no panel, or a hidden layer is not a plane.
    """
    if not panels or any(W.shape[0] != 2 for W in panels.values()):
        raise ValueError(
            "arrows can only be drawn for at least one model with two hidden dimensions, not for models with "
            f"{[W.shape[0] for W in panels.values()]}."
        )
    columns = min(columns, len(panels))
    rows, width = -(-len(panels) // columns), 60 + 270 * columns
    reach = 1.25 * max(1.0, max(float(W.norm(dim=0).max()) for W in panels.values()))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[escape(name) for name in panels],
        horizontal_spacing=0.04,
        vertical_spacing=0.22 / rows,
        x_title="hidden dimension 0",
        y_title="hidden dimension 1",
    )
    template, colours = house_template(LIGHT), len(LIGHT_PALETTE.series)
    for index, W in enumerate(panels.values()):
        row, column = index // columns + 1, index % columns + 1
        for feature, (x, y) in enumerate(W.T.tolist()):
            # The numbers of features that are hardly represented would only hide each other.
            label = ["", str(feature)] if (x * x + y * y) ** 0.5 > REPRESENTED else ["", ""]
            figure.add_scatter(
                x=[0, x],
                y=[0, y],
                mode="lines+markers+text",
                text=label,
                textposition=_label_position(x, y),
                marker={"size": [0, 12], "symbol": "arrow", "angleref": "previous"},
                line={"width": 2},
                name=f"feature {feature}",
                hovertemplate=f"feature {feature}: (%{{x:.2f}}, %{{y:.2f}})<extra></extra>",
                row=row,
                col=column,
            )
        # Each trace takes the template's next colour. Empty traces make every panel begin with the first one.
        for _ in range(-W.shape[1] % colours):
            figure.add_scatter(x=[None], y=[None], hoverinfo="skip", row=row, col=column)
        ticks = {"range": [-reach, reach], "tickvals": [-1, 0, 1]}
        figure.update_xaxes({**ticks, "constrain": "domain"}, row=row, col=column)
        anchor = figure.get_subplot(row, column).yaxis.anchor  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        figure.update_yaxes(
            {**ticks, "scaleanchor": anchor, "constrain": "domain", "showticklabels": column == 1},
            row=row,
            col=column,
        )
    figure.update_layout(
        template=template,
        title_text=escape(title),
        showlegend=False,
        height=130 + 240 * rows,
        margin={"l": 60, "b": 58, "t": 84},
        # The page sets the height from the width, so that panels are square on a phone as well.
        meta={"max_width": width, "aspect": (68 + 240 * rows) / (min(width, PAGE_WIDTH) - 104)},
    )
    return _fit_inside(figure, width)


def _label_position(x: float, y: float) -> str:
    if abs(y) > abs(x):
        return "top center" if y > 0 else "bottom center"
    return "middle right" if x > 0 else "middle left"


def _fit_inside(figure: go.Figure, width: int) -> go.Figure:
    """Shrink the panels until all titles around them lie inside the figure, about `width` pixels wide.

    A report's page leaves next to no margin around figures.
    """
    layout: Any = figure.layout
    height = float(layout.height)
    left, bottom, top = LEFT / width, BOTTOM / height, TOP / height

    def across(x: float) -> float:
        return left + x * (1 - left)

    def up(y: float) -> float:
        return bottom + y * (1 - bottom - top)

    figure.for_each_xaxis(lambda axis: axis.update(domain=[across(x) for x in axis.domain]))
    figure.for_each_yaxis(lambda axis: axis.update(domain=[up(y) for y in axis.domain]))
    figure.for_each_annotation(lambda note: note.update(x=across(note.x), y=up(note.y)))
    return figure
