"""The figures of SmolLM2-135M: what its heads score, and what is lost without the best of them."""

from __future__ import annotations

import torch

from mechscope.labs.induction.smollm2 import SIZES, SmolLM2Study
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance
from mechscope.viz import Marker

SMOLLM2_FIGURES = ("smollm2-heads", "smollm2-ablation")
"""Figures that need SmolLM2-135M."""


def draw_smollm2(study: SmolLM2Study, seed: int) -> tuple[LabFigure, ...]:
    """Both figures, in the lesson's order."""
    made_by = Provenance("smollm2-135m", "random tokens twice, second half of the sequences", seed)
    return _heads(study, made_by), _ablation(study, made_by)


def _heads(study: SmolLM2Study, made_by: Provenance) -> LabFigure:
    scores = {
        "induction": study.confirmed.prefix,
        "previous token": study.confirmed.previous,
        "duplicate token": study.confirmed.duplicate,
    }
    layers, heads = study.confirmed.prefix.shape
    return LabFigure.of(
        stacked_result(
            scores,
            ("series", "layer", "head"),
            f"Where SmolLM2-135M's {layers * heads} heads look",
            "attention probability",
            made_by,
            kind="panels",
        ),
        "On sequences that had no part in choosing heads. Look at the dark cells: in which layers are the heads that "
        "look at the previous token, and in which those that look at what came next last time?",
        name="smollm2-heads",
        key="scores",
        x_title="head",
        y_title="layer",
        unit="score",
    )


def _ablation(study: SmolLM2Study, made_by: Provenance) -> LabFigure:
    whole = torch.tensor([study.second_copy])
    series = {
        "best induction heads": torch.cat([whole, study.without]),
        "other heads of their layers, mean": torch.cat([whole, study.without_random.mean(0)]),
        "other heads of their layers, worst draw": torch.cat([whole, study.without_random.amax(0)]),
    }
    figure = LabFigure.of(
        stacked_result(
            series,
            ("series", "removed"),
            "SmolLM2-135M's loss on repeated tokens without some of its heads",
            "nats",
            made_by,
            {"removed": [0, *SIZES]},
            "curves",
        ),
        "Look how few heads it takes to come near the dashed line, the loss on the first copy, where nothing can be "
        "known; and how little as many other heads of the same layers matter.",
        name="smollm2-ablation",
        key="losses",
        x_title="heads removed",
        y_title="loss on the second copy (nats)",
        markers=[Marker(study.first_copy, "first copy", axis="y")],
        points=True,
    )
    figure.figure.update_yaxes(rangemode="tozero")
    return figure
