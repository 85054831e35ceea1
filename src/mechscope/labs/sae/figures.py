"""The figures of step 05, from one seed."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mechscope.labs.lab import LabFigure
from mechscope.labs.sae.ground_truth import Grid, ToyStudy
from mechscope.labs.sae.measures import Findings
from mechscope.labs.sae.text_figures import draw_text
from mechscope.labs.stacked import named_result
from mechscope.results import Provenance, make_result

TEXT_FIGURES = (
    "frontier",
    "dead",
    "densities",
    "splice",
    "pages",
    "detection",
    "universality",
    "splitting",
    "steering",
    "probe",
)
"""Figures that need a language model."""

MOST_LABELS = 10
"""The most features that are labelled on each side of the map of cosines."""


def draw_figures(found: Findings, numbers: Mapping[str, float], seed: int) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    known = Provenance("known features", "sparse sums of random directions", seed)
    toy = Provenance("step 01's toy model", "sparse made-up features", seed)
    return (
        _grid("grid", found.small, known),
        *([_grid("grid-large", found.large, known)] if found.large else []),
        _nulls(found.small, known),
        _toy(found.toy, toy),
        *(draw_text(found.text, numbers, seed) if found.text else ()),
    )


def _grid(name: str, grid: Grid, made_by: Provenance) -> LabFigure:
    config = grid.config
    result = make_result(
        grid.mmcs,
        ("width", "penalty"),
        f"How well {config.features} known features are found in {config.d_in} dimensions",
        "cosine",
        made_by,
        {"width": list(map(str, config.sizes)), "penalty": [f"{l1:g}" for l1 in config.l1]},
    )
    return LabFigure.of(
        result,
        "Mean over the true features of the largest cosine with any latent; 1 is perfect. Look for the "
        "direction in which it gets worse: which penalty lets latents share a feature, which one drops rare features?",
        name=name,
        key="mmcs",
        y_title="latents",
        unit="MMCS",
        write_numbers=True,
    )


def _nulls(grid: Grid, made_by: Provenance) -> LabFigure:
    scores = {
        "best of the grid": grid.best.mmcs,
        "trained on shuffled activations": grid.shuffled,
        "not trained": grid.untrained,
    }
    return LabFigure.of(
        named_result(scores, "The same score for dictionaries that have learned nothing", "MMCS", made_by),
        "In few dimensions the nearest of many random directions is never far. Look how high the two that have learned "
        "nothing score: this scale does not begin at 0.",
        name="nulls",
        key="values",
        x_title="dictionary",
        number_format=".2f",
    )


def _toy(toy: ToyStudy, made_by: Provenance) -> LabFigure:
    cosines = toy.cosines if toy.represented else torch.zeros(1, 1)
    names = [str(feature) for feature in toy.represented] or ["none"]
    result = make_result(
        cosines,
        ("latent", "feature"),
        f"What was recovered of {len(toy.represented)} features in {toy.W.shape[0]} dimensions",
        "cosine",
        made_by,
        {"latent": names, "feature": names},
    )
    figure = LabFigure.of(
        result,
        "Cosine of latents with true features, each latent in the row of its one-to-one partner. Look at the diagonal: "
        "1 means found. And off the diagonal: the features themselves are not orthogonal, because that is what "
        "superposition is.",
        name="recovered",
        key="cosines",
        x_title="feature of the toy model",
        y_title="latent, in the row of its partner",
        centred=True,
        write_numbers=False,
        square=True,
    )
    every = -(-len(names) // MOST_LABELS)
    ticks = {"tickvals": list(range(len(names)))[::every], "ticktext": names[::every], "tickangle": 0}
    figure.figure.update_xaxes(ticks).update_yaxes(ticks)
    return figure
