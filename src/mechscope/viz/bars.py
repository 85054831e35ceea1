"""Bars: one number per name, grouped if there are several series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.curves import Marker, add_level, add_marker
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.template import new_figure
from mechscope.viz.ticks import distinct

PATTERNS = ("", "/", "x", ".", "\\", "+")
"""Series differ in hatching as well as colour."""


@checked_arguments
def bars(
    names: Sequence[str],
    series: Mapping[str, Any],
    *,
    title: str,
    x_title: str,
    y_title: str,
    markers: Sequence[Marker] = (),
    number_format: str = ".3g",
) -> go.Figure:
    """Grouped bars, each labelled with its number.

    Raises:
        ValueError: if there is no series, or a series does not have one value per name.
    """
    if not series:
        raise ValueError(f"{title!r} has no series to draw.")
    figure = new_figure(title, x_title, y_title)
    labels = distinct([escape(label) for label in names])
    for index, (name, values) in enumerate(series.items()):
        heights = as_floats(values)
        if heights.shape != (len(names),):
            raise ValueError(
                f"series {name!r} of {title!r} has shape {heights.shape}; there are {len(names)} names."
            )
        figure.add_bar(
            x=labels,
            y=heights,
            name=escape(name),
            marker={
                "pattern": {"shape": PATTERNS[index % len(PATTERNS)], "fillmode": "overlay", "solidity": 0.25}
            },
            texttemplate=f"%{{y:{number_format}}}",
            textposition="outside",
            cliponaxis=False,
            showlegend=len(series) > 1,
            hovertemplate=f"%{{x}}<br>{escape_in_template(name)}: %{{y:{number_format}}}<extra></extra>",
        )
    figure.update_xaxes(
        type="category"
    )  # names such as "7" and "2024" would make an axis of numbers or dates
    levels = [marker for marker in markers if marker.axis == "y"]
    for marker in markers:
        # A label on a level would overlap the bars that reach it.
        (add_level if marker.axis == "y" else add_marker)(figure, marker)
    figure.update_layout(showlegend=len(series) > 1 or bool(levels), barmode="group", bargap=0.25)
    return figure
