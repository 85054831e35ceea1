"""Curves over the density of features, from dense to sparse."""

from __future__ import annotations

from typing import Any

from mechscope.labs.lab import LabFigure
from mechscope.results import Result


def density_figure(
    result: Result,
    caption: str,
    *,
    x_title: str = "density (sparser to the right)",
    log_x: bool = True,
    **options: Any,
) -> LabFigure:
    """The figure of a result over densities, with the axis of densities reversed.

    Args:
        options: as for `LabFigure.of`.

    Raises:
        ValueError, TypeError: as `LabFigure.of`.
    """
    figure = LabFigure.of(result, caption, x_title=x_title, log_x=log_x, **options)
    figure.figure.update_xaxes(autorange="reversed")
    return figure
