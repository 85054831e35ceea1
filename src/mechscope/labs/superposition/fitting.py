"""Room inside a figure for its panels' titles: a report's page leaves next to no margin around figures."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

LEFT, BOTTOM, TOP = 64, 56, 30
"""Pixels for the title of the y axis, that of the x axis, and the panels' titles."""


def fit_inside(figure: go.Figure, width: int = 760) -> go.Figure:
    """Shrink the panels so that everything written around them lies inside the figure; returns it.

    Args:
        width: about how wide the figure will be, in pixels.
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
