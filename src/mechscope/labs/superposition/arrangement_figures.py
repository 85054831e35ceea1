"""Figures of the arrangements whose losses are compared."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition._density_figure import density_figure
from mechscope.labs.superposition.arrangements import (
    DIGON_DENSITY,
    DIGON_RATIO,
    PAIR_DENSITY,
    SPARSE,
    TETRAHEDRON_DENSITY,
    Settled,
    off_tetrahedron,
)
from mechscope.labs.superposition.plane import planes_figure
from mechscope.results import Provenance
from mechscope.viz import curves

ARRANGEMENT_FIGURES = ("tetrahedron", "digons", "correlated-sets")
"""Names of these figures."""


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
    leads = {"lowest loss of all": torch.zeros(len(best)), "next arrangement": 100 * (other / best - 1)}
    off_of_best = off[torch.arange(len(off)), found.loss.argmin(1)]
    title = "Four features in three dimensions: by how much does the best arrangement lead?"
    # The distances from a tetrahedron are in the file of numbers and in the caption, not in the figure.
    figure = curves(
        density, leads, title=title, x_title="density", y_title="loss above the lowest (%)", points=True
    )
    data = stacked_result(
        {**leads, "best start's distance from a tetrahedron": off_of_best},
        ("series", "density"),
        title,
        "%, and the worst cosine's distance from -1/3",
        made_by,
        {"density": density},
    )
    distances = ", ".join(f"{far:.2f} at {p:g}" for p, far in zip(density, off_of_best.tolist(), strict=True))
    return LabFigure(
        "tetrahedron",
        figure,
        "Look for where the second curve, the best start that is not a tetrahedron, lies above the first: there the "
        "best start of all is a tetrahedron. (How far the worst cosine of the best start is from −1/3, by density: "
        f"{distances}.)",
        {"losses": data},
    )


def _digons(found: Settled, made_by: Provenance) -> LabFigure:
    count = len(DIGON_RATIO)
    leads: dict[str, Tensor] = {}
    for row, density in enumerate(DIGON_DENSITY):
        loss = found.loss[row * (count + 1) : row * (count + 1) + count]
        leads[f"others at {density:g}"] = 100 * (loss[:, 0] / loss[:, 1] - 1)
    title = "Pentagon or two pairs? The loss of one over that of the other"
    data = stacked_result(
        leads, ("series", "density"), title, "%", made_by, {"density": DIGON_RATIO}, kind="curves"
    )
    return density_figure(
        data,
        "Below zero the pentagon is better. Look at where each curve crosses zero: from there on it pays to leave the "
        "fifth feature out and to give each two of the others a line of their own.",
        name="digons",
        key="lead",
        x_title="density of the fifth feature over the others' (sparser to the right)",
        y_title="pentagon's loss above that of two pairs (%)",
        points=True,
        log_x=False,
    )


def _pairs(found: Settled, made_by: Provenance) -> LabFigure:
    return planes_figure(
        "correlated-sets",
        {f"p = {p:g}": W for p, W in zip(PAIR_DENSITY, found.best, strict=True)},
        "Three correlated pairs in a plane, from dense to sparse",
        "Features 0 and 1 always come together, so do 2 and 3, and 4 and 5. Look for the panels in which the two "
        "arrows of a pair lie on top of each other.",
        made_by,
        columns=2,
    )
