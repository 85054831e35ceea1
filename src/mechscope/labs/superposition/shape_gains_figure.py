"""The figure of what each shape is worth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mechscope.labs.lab import LabFigure
from mechscope.labs.superposition.shape_gains import DENSITY, SHAPES
from mechscope.results import Provenance, make_result
from mechscope.viz import curves


def draw_shape_gains(gains: Mapping[str, Tensor]) -> LabFigure:
    """Gain per dimension over density, a line a shape."""
    title = "What a dimension buys, by the shape of those who share it"
    # From the smallest up: a part that was kept is sorted by name.
    gains = {shape: gains[shape] for shape in SHAPES}
    figure = curves(
        DENSITY,
        gains,
        title=title,
        x_title="density (sparser to the right)",
        y_title="saved ÷ with one feature each",
        log_x=True,
    )
    figure.update_xaxes(autorange="reversed")
    data = make_result(
        torch.stack(list(gains.values())),
        ("label", "density"),
        title,
        "×",
        Provenance("ideal shapes", "sparse made-up features"),
        {"label": list(gains), "density": DENSITY},
    )
    return LabFigure(
        "shape-gains",
        figure,
        "Calculated, not trained. Look which line is on top at which density, and by how much: where all is dense, how "
        "much is there to win?",
        {"gain": data},
    )
