"""Lines over one shared axis: losses over steps, scores over layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_array
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.template import DASHES, new_figure
from mechscope.viz.ticks import distinct, log_axis


@dataclass(frozen=True)
class Marker:
    """A labelled line across the figure: an event (vertical) or a level (horizontal)."""

    at: float
    """Position, in the unit of the axis."""
    label: str
    """The label of the line."""
    axis: str = "x"
    """"x" for an event at x = at, "y" for a level at y = at."""


@checked_arguments
def curves(
    x: Any,
    series: Mapping[str, Any],
    *,
    title: str,
    x_title: str,
    y_title: str,
    markers: Sequence[Marker] = (),
    log_x: bool = False,
    log_y: bool = False,
    points: bool = False,
) -> go.Figure:
    """One line per series over a shared `x`.

    Raises:
        ValueError: if there is no series, or a series is not as long as `x`.
    """
    if not series:
        raise ValueError(f"{title!r} has no series to draw.")
    x = as_array(x)
    figure = new_figure(title, x_title, y_title)
    if x.dtype.kind in "OU":
        x = np.array(distinct([escape(label) for label in x.tolist()]), dtype=object)
        figure.update_xaxes(type="category")
    for index, (name, values) in enumerate(series.items()):
        y = as_array(values)
        if y.shape != x.shape:
            raise ValueError(f"series {name!r} of {title!r} has shape {y.shape}; x has {x.shape}.")
        figure.add_scatter(
            x=x,
            y=y,
            name=escape(name),
            mode="lines+markers" if points else "lines",
            line={"dash": DASHES[index % len(DASHES)], "width": 2},
            hovertemplate=f"{escape_in_template(name)}: %{{y:.4g}}<extra></extra>",
        )
    # The title already names a single curve; a legend would only repeat it.
    figure.update_layout(showlegend=len(series) > 1, hovermode="x unified")
    if log_x:
        figure.update_xaxes(log_axis(x))
    if log_y:
        figure.update_yaxes(log_axis(np.concatenate([as_array(values) for values in series.values()])))
    for marker in markers:
        add_marker(figure, marker)
    return figure


def add_level(figure: go.Figure, marker: Marker) -> None:
    """Draw a level and name it in the legend, for figures whose bars would hide a label at the line.

    Raises:
        ValueError: for a marker that is not a level.
    """
    if marker.axis != "y":
        raise ValueError(f"a level must be on axis 'y', not {marker.axis!r}.")
    figure.add_shape(
        type="line",
        x0=0,
        x1=1,
        xref="paper",
        y0=marker.at,
        y1=marker.at,
        name=escape(marker.label),
        showlegend=True,
    )


def add_marker(figure: go.Figure, marker: Marker) -> None:
    """Draw a marker; its colour comes from the template and so follows the theme.

    An axis that is to be logarithmic must be so already.

    Raises:
        ValueError: for an axis other than x and y, and for a place that is not on a logarithmic axis.
    """
    layout: Any = figure.layout
    at = marker.at
    if marker.axis in ("x", "y") and layout[f"{marker.axis}axis"].type == "log":
        if not marker.at > 0:
            raise ValueError(f"{marker.label!r} is at {marker.at:g}, which is not on a logarithmic axis.")
        # On a logarithmic axis, Plotly places shapes by value but annotations by exponent.
        at = math.log10(marker.at)
    if marker.axis == "x":
        figure.add_shape(type="line", x0=marker.at, x1=marker.at, y0=0, y1=1, yref="paper")
        figure.add_annotation(
            x=at, y=1, yref="paper", text=escape(marker.label), xanchor="left", yanchor="top", xshift=4
        )
    elif marker.axis == "y":
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=marker.at, y1=marker.at)
        figure.add_annotation(
            x=1,
            xref="paper",
            y=at,
            text=escape(marker.label),
            xanchor="right",
            yanchor="bottom",
            yshift=2,
        )
    else:
        raise ValueError(f"a marker must be on axis 'x' or 'y', not {marker.axis!r}.")
