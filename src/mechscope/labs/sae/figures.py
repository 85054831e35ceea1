"""The figures of step 05, from one seed."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mechscope.labs.lab import LabFigure
from mechscope.labs.sae.ground_truth import Grid, ToyStudy
from mechscope.labs.sae.measures import Findings
from mechscope.labs.sae.plain_bars import bar_figure
from mechscope.labs.sae.text_figures import draw_text
from mechscope.results import Provenance, make_result
from mechscope.viz.heatmap import heatmap

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
"""How many features are labelled along a side of the map of cosines."""


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
    title = f"How well {config.features} known features are found in {config.d_in} dimensions"
    sizes, penalties = list(map(str, config.sizes)), [f"{l1:g}" for l1 in config.l1]
    figure = heatmap(
        grid.mmcs,
        title=title,
        x_title="L1 penalty",
        y_title="latents",
        unit="MMCS",
        x=penalties,
        y=sizes,
        write_numbers=True,
    )
    data = make_result(
        grid.mmcs, ("width", "penalty"), title, "cosine", made_by, {"width": sizes, "penalty": penalties}
    )
    return LabFigure(
        name,
        figure,
        "Mean over the true features of the largest cosine with any latent; 1 is perfect. Look for the "
        "direction in which it gets worse: which penalty lets latents share a feature, which one drops rare features?",
        {"mmcs": data},
    )


def _nulls(grid: Grid, made_by: Provenance) -> LabFigure:
    found = {
        "best of the grid": grid.best.mmcs,
        "trained on shuffled activations": grid.shuffled,
        "not trained": grid.untrained,
    }
    return bar_figure(
        "nulls",
        found,
        "The same score for dictionaries that have learned nothing",
        "dictionary",
        "MMCS",
        "In few dimensions the nearest of many random directions is never far. Look how high the two that have learned "
        "nothing score: this scale does not begin at 0.",
        made_by,
    )


def _toy(toy: ToyStudy, made_by: Provenance) -> LabFigure:
    title = f"What was recovered of {len(toy.represented)} features in {toy.W.shape[0]} dimensions"
    cosines = toy.cosines if toy.represented else torch.zeros(1, 1)
    names = [str(feature) for feature in toy.represented] or ["none"]
    figure = heatmap(
        cosines,
        title=title,
        x_title="feature of the toy model",
        y_title="latent, in the row of its partner",
        unit="cosine",
        x=names,
        y=names,
        centred=True,
        write_numbers=False,
        square=True,
    )
    every = -(-len(names) // MOST_LABELS)
    written = {"tickvals": list(range(len(names)))[::every], "ticktext": names[::every], "tickangle": 0}
    figure.update_xaxes(written).update_yaxes(written)
    data = make_result(
        cosines, ("latent", "feature"), title, "cosine", made_by, {"latent": names, "feature": names}
    )
    return LabFigure(
        "recovered",
        figure,
        "Cosine of latents with true features, each latent in the row of its one-to-one partner. Look at the diagonal: "
        "1 means found. And off the diagonal: the features themselves are not orthogonal, because that is what "
        "superposition is.",
        {"cosines": data},
    )
