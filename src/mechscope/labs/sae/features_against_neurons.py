"""Features compared with neurons: do top examples predict where a unit is active, and do two models share units?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import automatic_detection, universality
from mechscope.dictionaries.evaluation.automatic_detection import AutomaticDetection
from mechscope.labs.sae.language_model import Texts, activations
from mechscope.labs.sae.text_study import TextStudy
from mechscope.model.transformer import HookedTransformer

ACTIVE_SHARE = 0.01
"""A unit counts as active on this share of the first half's tokens, its highest: the same for all units."""


@dataclass(frozen=True)
class Detection:
    """How well units of three kinds are detected on held-out text."""

    features: AutomaticDetection
    """Latents of the chosen dictionary."""
    neurons: AutomaticDetection
    """Neurons of the same model."""
    random: AutomaticDetection
    """Latents of a dictionary on a model with random weights."""


def detect(study: TextStudy, twin: HookedTransformer, on_twin: Dictionary, seed: int) -> Detection:
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
        units = draw_units(values, study.config.detected, seed)
        found.append(automatic_detection(tokens, values, units=units, active_share=ACTIVE_SHARE, seed=seed))
    return Detection(*found)


def draw_units(values: Float[Tensor, "batch pos feature"], count: int, seed: int) -> list[int]:
    """Units drawn at random among those that are ever active, so that none is picked by hand."""
    alive = (values.flatten(0, 1) > 0).any(0).nonzero().flatten()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    return alive[order[:count]].tolist()


@dataclass(frozen=True)
class Universality:
    """How well one model's units correlate with another model's."""

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
) -> Universality:
    """Correlate each unit with its best partner in the other model, on the same held-out tokens.

    Raises:
        ValueError: if the partner's tokenizer splits the text differently.
    """
    if not torch.equal(texts.test, study.texts.test):
        raise ValueError(
            f"{partner} and {study.config.model} split the text into different tokens, so their units cannot be "
            "compared; choose a partner with the same tokenizer."
        )
    neurons = study.test.flatten(0, 1), activations(other, texts.test).flatten(0, 1)
    by_feature = universality((_encode(study.chosen, neurons[0]), _encode(on_other, neurons[1])))
    by_neuron = universality(neurons)
    return Universality(
        partner,
        by_feature.median,
        by_neuron.median,
        by_feature.max_correlation.cpu(),
        by_neuron.max_correlation.cpu(),
    )


def _encode(dictionary: Dictionary, x: Tensor) -> Tensor:
    with torch.no_grad():
        return dictionary.encode(x)
