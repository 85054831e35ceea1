"""Figures of arrangements that are compared start by start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition.arrangements import (
    DIGON_DENSITY,
    DIGON_RATIO,
    PAIR_DENSITY,
    SPARSE,
    TETRAHEDRON_DENSITY,
    Settled,
    off_tetrahedron,
)
from mechscope.labs.superposition.plane import draw_planes
from mechscope.results import Provenance, make_result
from mechscope.viz import curves

ARRANGEMENT_FIGURES = ("tetrahedron", "digons", "correlated-sets")
"""Figures that need the comparison of arrangements."""


def draw_arrangements(found: Mapping[str, Settled], seed: int) -> tuple[LabFigure, ...]:
    """All of them, in the lesson's order."""
    made_by = Provenance("toy models of superposition", "quasi-random sparse features", seed)
    return (
        _tetrahedron(found["tetrahedron"], made_by),
        _digons(found["digons"], made_by),
        _pairs(found["pairs"], made_by),
    )


def _tetrahedron(found: Settled, made_by: Provenance) -> LabFigure:
    density = (SPARSE, *TETRAHEDRON_DENSITY)
    off = off_tetrahedron(found.W)
    other = torch.where(off > 0.1, found.loss, torch.inf).amin(1)
    best = found.loss.amin(1)
    series = {"lowest loss of all": torch.zeros(len(best)), "next arrangement": 100 * (other / best - 1)}
    nearest = off[torch.arange(len(off)), found.loss.argmin(1)]
    title = "Four features in three dimensions: by how much does the best arrangement lead?"
    figure = curves(
        density, series, title=title, x_title="density", y_title="loss above the lowest (%)", points=True
    )
    data = make_result(
        torch.stack([*series.values(), nearest]),
        ("series", "density"),
        title,
        "%, and the worst cosine's distance from -1/3",
        made_by,
        {"series": [*series, "best start's distance from a tetrahedron"], "density": density},
    )
    words = ", ".join(f"{p:g}: {float(far):.2f}" for p, far in zip(density, nearest, strict=True))
    return LabFigure(
        "tetrahedron",
        figure,
        "Look for where the second curve, the best start that is not a tetrahedron, lies above the first: "
        f"there the best of all is one. (Largest distance of the best start's cosines from −1/3, by density: {words}.)",
        {"losses": data},
    )


def _digons(found: Settled, made_by: Provenance) -> LabFigure:
    count = len(DIGON_RATIO)
    series: dict[str, Tensor] = {}
    for row, density in enumerate(DIGON_DENSITY):
        loss = found.loss[row * (count + 1) : row * (count + 1) + count]
        series[f"others at {density:g}"] = 100 * (loss[:, 0] / loss[:, 1] - 1)
    title = "Pentagon or two pairs? The loss of one over that of the other"
    figure = curves(
        DIGON_RATIO,
        series,
        title=title,
        x_title="density of the fifth feature over the others' (sparser to the right)",
        y_title="pentagon's loss above that of two pairs (%)",
        points=True,
    )
    figure.update_xaxes(autorange="reversed")
    data = stacked_result(series, ("series", "density"), title, "%", made_by, {"density": DIGON_RATIO})
    return LabFigure(
        "digons",
        figure,
        "Below zero the pentagon is better. Look where each curve crosses zero: from there on it pays to leave the "
        "fifth feature out and give the others a line for each two.",
        {"lead": data},
    )


def _pairs(found: Settled, made_by: Provenance) -> LabFigure:
    panels = {f"p = {p:g}": W for p, W in zip(PAIR_DENSITY, found.best, strict=True)}
    title = "Three correlated pairs in a plane, from dense to sparse"
    data = stacked_result(panels, ("label", "dimension", "feature"), title, "weight", made_by)
    return LabFigure(
        "correlated-sets",
        draw_planes(panels, title=title, columns=2),
        "Features 0 and 1 always come together, so do 2 and 3, and 4 and 5. Look in which panels the two arrows of a "
        "pair lie on top of each other.",
        {"W": data},
    )
