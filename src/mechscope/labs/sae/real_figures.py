"""The figures of the dictionary on SmolLM2-135M."""

from __future__ import annotations

from typing import Any

from mechscope.dictionaries.evaluation import top_contexts
from mechscope.labs.lab import LabFigure
from mechscope.labs.sae.context_figure import BEFORE, EXAMPLES, ShownFeature, draw_contexts
from mechscope.labs.sae.real_model import RealStudy
from mechscope.labs.stacked import named_result
from mechscope.results import Provenance
from mechscope.viz import Marker

REAL_FIGURES = ("smollm2-splice", "smollm2-detection", "smollm2-pages")
"""Figures that need SmolLM2-135M."""


def draw_real(study: RealStudy, tokenizer: Any, seed: int) -> tuple[LabFigure, ...]:
    """The figures in the lesson's order."""
    made_by = Provenance(f"smollm2-135m, layer {study.config.layer}", "held-out Python source", seed)
    return _splice(study, made_by), _detection(study, made_by), _pages(study, tokenizer, made_by)


def _splice(study: RealStudy, made_by: Provenance) -> LabFigure:
    found = study.measures
    added = {"reconstruction": found["delta_ce"], "the mean": found["mean_ce"], "zeros": found["zero_ce"]}
    return LabFigure.of(
        named_result(
            added,
            f"What SmolLM2-135M loses when its residual stream after layer {study.config.layer} is replaced",
            "loss added (nats)",
            made_by,
        ),
        "At every position but the first and those with massive activations. Look at the first bar: it is what "
        f"{study.config.k} numbers per token cannot carry. Here everything passes through the replaced place, so both "
        "yardsticks cost more than in the one-layer model.",
        name="smollm2-splice",
        key="values",
        x_title="in place of the residual stream",
        number_format=".2f",
    )


def _detection(study: RealStudy, made_by: Provenance) -> LabFigure:
    scores = {
        "features": study.measures["detected_features"],
        "neurons of the same layer": study.measures["detected_neurons"],
        "random directions": study.measures["detected_directions"],
    }
    return LabFigure.of(
        named_result(
            scores, "SmolLM2-135M: can examples tell where a unit is active?", "held-out AUC, mean", made_by
        ),
        "0.5 is guessing. Look how far features are above neurons, and then at the third bar, as before.",
        name="smollm2-detection",
        key="values",
        x_title="kind of unit",
        number_format=".2f",
        markers=(Marker(0.5, "guessing", axis="y"),),
    )


def _pages(study: RealStudy, tokenizer: Any, made_by: Provenance) -> LabFigure:
    shown = [
        ShownFeature(
            feature,
            tuple(study.promoted[number].tolist()),
            top_contexts(study.tokens, study.activations[..., number], EXAMPLES, window=(BEFORE, 0)),
            float(study.activations[..., number].max()),
        )
        for number, feature in enumerate(study.features)
    ]
    return draw_contexts(
        shown,
        tokenizer,
        made_by,
        name="smollm2-pages",
        usual="0.1 % to 10 %",
        whose="Some features of SmolLM2-135M",
    )
