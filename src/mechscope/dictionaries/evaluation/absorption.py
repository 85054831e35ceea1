"""Feature absorption: a general feature is inactive where a more specific one represents its concept instead.

Sources: Chanin et al. 2024, "A is for Absorption". The criterion without ablations follows Karvonen et al. 2025,
"SAEBench": which feature contributes the concept's direction to the reconstruction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.arguments import checked_arguments


@dataclass(frozen=True)
class Absorption:
    """Which features represented a concept where its own features were inactive."""

    positives: int
    """Examples that have the concept."""
    missed: int
    """Number of them in which none of the concept's own features is active."""
    absorbers: Mapping[int, int]
    """Feature → number of missed examples in which it contributed the concept's direction instead."""

    @property
    def absorbed(self) -> int:
        """Number of missed examples in which another feature represented the concept."""
        return sum(self.absorbers.values())

    @property
    def rate(self) -> float:
        """The share of positives that are absorbed."""
        return self.absorbed / self.positives

    @property
    def recall(self) -> float:
        """The share of positives in which one of the concept's own features is active."""
        return 1 - self.missed / self.positives


@checked_arguments
def absorption(
    features: Float[Tensor, "example feature"],
    decoder: Float[Tensor, "feature d_model"],
    labels: Bool[Tensor, " example"],
    direction: Float[Tensor, " d_model"],
    main: Sequence[int],
    *,
    least_cosine: float = 0.025,
    least_share: float = 0.4,
) -> Absorption:
    """Count the positives in which a feature other than the concept's own represents the concept.

    A missed example counts as absorbed if the feature with the largest contribution along `direction` makes up at least
    `least_share` of the total along it, and its decoder row has a cosine of at least `least_cosine` with it.

    Args:
        decoder: rows of W_dec.
        labels: which examples have the concept.
        direction: the direction of a probe for the concept, or of the true feature.
        main: the concept's own features, for example from `splitting(...).main`.

    Raises:
        ValueError: for shapes that do not fit, no positives, or no main features.
    """
    labels = labels.to(torch.bool)
    if features.ndim != 2 or labels.shape != (len(features),) or len(decoder) != features.shape[1]:
        raise ValueError(
            "features must be [example feature], labels [example] and the decoder [feature d_model]; got "
            f"{tuple(features.shape)}, {tuple(labels.shape)} and {tuple(decoder.shape)}."
        )
    if direction.shape != decoder.shape[1:] or not bool(direction.abs().sum() > 0):
        raise ValueError(
            f"direction must be one vector of width {decoder.shape[1]} and not zero; got shape "
            f"{tuple(direction.shape)}."
        )
    if not len(main) or not all(0 <= feature < len(decoder) for feature in main):
        raise ValueError(
            f"main must list the concept's own features, from 0 to {len(decoder) - 1}, not {tuple(main)}."
        )
    if not bool(labels.any()):
        raise ValueError("no example has the concept, so nothing can be absorbed.")
    features, decoder = features.detach(), decoder.detach()
    unit = F.normalize(direction.detach().double(), dim=0)
    cosines = F.normalize(decoder.double(), dim=-1) @ unit
    missed = features[labels][(features[labels][:, list(main)] <= 0).all(1)].double()
    added = missed * (decoder.double() @ unit)
    absorbers: Counter[int] = Counter()
    for example in added:
        best = int(example.argmax())
        positive = example.clamp_min(0).sum()
        carries = float(example[best]) > 0 and float(example[best]) >= least_share * float(positive)
        if carries and float(cosines[best]) >= least_cosine:
            absorbers[best] += 1
    return Absorption(int(labels.sum()), len(missed), dict(absorbers.most_common()))


@dataclass(frozen=True)
class HierarchyProbe:
    """How often the learned feature of a parent is active, with and without a child that implies the parent."""

    recall_alone: float
    """The share of examples with the parent but without the child in which it is active; NaN without such examples."""
    recall_with_child: float
    """The share of examples with the child in which it is active."""

    @property
    def gap(self) -> float:
        """The share of the parent's activity that the child absorbs: 0 is nothing, 1 is everything."""
        return self.recall_alone - self.recall_with_child


@checked_arguments
def hierarchy_probe(
    feature: Float[Tensor, " example"], parent: Bool[Tensor, " example"], child: Bool[Tensor, " example"]
) -> HierarchyProbe:
    """Measure absorption when the truth is known.

    Args:
        feature: activations of the learned feature of the parent (see `feature_recovery(...).pairs`).
        parent: in which examples the parent is truly active.
        child: in which examples the child is truly active.

    Raises:
        ValueError: for a child without its parent, or shapes that do not fit.
    """
    parent, child = parent.to(torch.bool), child.to(torch.bool)
    if not feature.shape == parent.shape == child.shape or feature.ndim != 1:
        raise ValueError(
            f"feature, parent and child must all be [example]; got {tuple(feature.shape)}, {tuple(parent.shape)} "
            f"and {tuple(child.shape)}."
        )
    if bool((child & ~parent).any()):
        raise ValueError(
            "the child is active without the parent in some example; in a hierarchy the child implies the parent."
        )

    def recall(where: Any) -> float:
        return float((feature[where] > 0).double().mean()) if bool(where.any()) else float("nan")

    return HierarchyProbe(recall(parent & ~child), recall(child))
