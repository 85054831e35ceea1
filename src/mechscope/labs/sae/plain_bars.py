"""The plainest figure of this lab: one bar a name, with its number on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mechscope.labs.lab import LabFigure
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker, bars


def bar_figure(
    name: str,
    values: Mapping[str, float],
    title: str,
    x_title: str,
    unit: str,
    caption: str,
    made_by: Provenance,
    *,
    markers: tuple[Marker, ...] = (),
    number_format: str = ".2f",
) -> LabFigure:
    """One bar a name."""
    names = list(values)
    heights: Tensor = torch.tensor([float(values[each]) for each in names])
    figure = bars(
        names,
        {unit: heights},
        title=title,
        x_title=x_title,
        y_title=unit,
        number_format=number_format,
        markers=markers,
    )
    figure.update_xaxes(type="category")
    data = make_result(heights, ("label",), title, unit, made_by, {"label": names})
    return LabFigure(name, figure, caption, {"values": data})
