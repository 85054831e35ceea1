"""Features beside neurons: can top examples tell where a unit is active, and do two models have the same units?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import automatic_detection, universality
from mechscope.dictionaries.evaluation.automatic_detection import AutomaticDetection
from mechscope.labs.sae.language import Texts, activations
from mechscope.labs.sae.text_study import TextStudy
from mechscope.model.transformer import HookedTransformer

ACTIVE_SHARE = 0.01
"""A unit counts as active above what this share of the first half's tokens exceeds: one question for all units."""


@dataclass(frozen=True)
class Detected:
    """Held-out detection of units of three kinds."""

    features: AutomaticDetection
    """Latents of the chosen dictionary."""
    neurons: AutomaticDetection
    """Neurons of the same model."""
    random: AutomaticDetection
    """Latents of a dictionary on a model with random weights."""


def detect(study: TextStudy, twin: HookedTransformer, on_twin: Dictionary, seed: int) -> Detected:
    """Explain units by their top examples in one half of the held-out text, and detect them in the other."""
    tokens = study.texts.test[:, 1:]
    kinds = (
        _encode(study.chosen, study.test),
        study.test,
        _encode(on_twin, activations(twin, study.texts.test)),
    )
    found: list[AutomaticDetection] = []
    for values in kinds:
        values = values.cpu()
        units = _some(values, study.config.detected, seed)
        found.append(automatic_detection(tokens, values, units=units, active_share=ACTIVE_SHARE, seed=seed))
    return Detected(*found)


def _some(values: Float[Tensor, "batch pos feature"], count: int, seed: int) -> list[int]:
    """Units drawn at random among those that are ever above zero: nobody picked the pretty ones."""
    alive = (values.flatten(0, 1) > 0).any(0).nonzero().flatten()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    return alive[order[:count]].tolist()


@dataclass(frozen=True)
class Shared:
    """How well one model's units are followed by another model's."""

    partner: str
    """The other model."""
    features: float
    """Median over features of the best correlation."""
    neurons: float
    """Median over neurons."""
    feature_correlations: Float[Tensor, " feature"]
    """All of them; NaN for dead features."""
    neuron_correlations: Float[Tensor, " neuron"]
    """All of them."""


def compare_models(
    study: TextStudy, partner: str, other: HookedTransformer, texts: Texts, on_other: Dictionary
) -> Shared:
    """Max correlations on the held-out text; both models read the same tokens.

    Raises:
        ValueError: for a partner whose tokenizer cuts the text otherwise.
    """
    if not torch.equal(texts.test, study.texts.test):
        raise ValueError(f"{partner} has another tokenizer: no unit of one can be compared with the other's.")
    theirs = activations(other, texts.test)
    ours = study.test.flatten(0, 1), theirs.flatten(0, 1)
    by_feature = universality((_encode(study.chosen, ours[0]), _encode(on_other, ours[1])))
    by_neuron = universality(ours)
    return Shared(
        partner,
        by_feature.median,
        by_neuron.median,
        by_feature.max_correlation.cpu(),
        by_neuron.max_correlation.cpu(),
    )


def _encode(dictionary: Dictionary, x: Tensor) -> Tensor:
    with torch.no_grad():
        return dictionary.encode(x)
