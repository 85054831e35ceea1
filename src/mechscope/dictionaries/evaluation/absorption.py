"""Feature absorption: a general feature that falls silent where a more special one speaks for it.

Sources: Chanin et al. 2024, "A is for Absorption"; the rule without ablations follows Karvonen et al. 2025,
"SAEBench": which feature carries the concept's direction in the reconstruction.
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
    """What became of a concept where its own features were silent."""

    positives: int
    """Examples that have the concept."""
    missed: int
    """Of these, how many activate none of the concept's own features."""
    absorbers: Mapping[int, int]
    """Feature → in how many missed examples it carried the concept's direction instead."""

    @property
    def absorbed(self) -> int:
        """Missed examples in which another feature stepped in."""
        return sum(self.absorbers.values())

    @property
    def rate(self) -> float:
        """The share of positives that are absorbed."""
        return self.absorbed / self.positives

    @property
    def recall(self) -> float:
        """The share of positives that the concept's own features catch."""
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
    """Count positives in which a feature that is not the concept's own carries the concept's direction.

    A missed example counts as absorbed if the feature that adds most along `direction` adds at least `least_share`
    of all that is added along it, and its decoder row has at least `least_cosine` with it.

    Args:
        decoder: rows of W_dec.
        labels: which examples have the concept.
        direction: of a probe for the concept, or the true feature's.
        main: the concept's own features, as from `splitting(...).main`.

    Raises:
        ValueError: for shapes that do not fit, no positives, or no main features.
    """
    labels = labels.to(torch.bool)
    if features.ndim != 2 or labels.shape != (len(features),) or len(decoder) != features.shape[1]:
        raise ValueError(
            "features are [example feature], labels [example] and the decoder [feature d_model]; got "
            f"{tuple(features.shape)}, {tuple(labels.shape)} and {tuple(decoder.shape)}."
        )
    if direction.shape != decoder.shape[1:] or not bool(direction.abs().sum() > 0):
        raise ValueError(
            f"direction must be one vector of width {decoder.shape[1]} and not zero; got shape "
            f"{tuple(direction.shape)}."
        )
    if not len(main) or not all(0 <= feature < len(decoder) for feature in main):
        raise ValueError(
            f"main names the concept's own features, from 0 to {len(decoder) - 1}; not {tuple(main)}."
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
    """How often a parent's learned feature fires, with and without a child that implies the parent."""

    recall_alone: float
    """The share of examples with the parent and without the child in which it fires; NaN without such examples."""
    recall_with_child: float
    """The share of examples with the child in which it fires."""

    @property
    def gap(self) -> float:
        """How much of the parent the child absorbs: 0 is none, 1 is all."""
        return self.recall_alone - self.recall_with_child


@checked_arguments
def hierarchy_probe(
    feature: Float[Tensor, " example"], parent: Bool[Tensor, " example"], child: Bool[Tensor, " example"]
) -> HierarchyProbe:
    """Absorption where the truth is known: a feature's activations, and who was truly present.

    Args:
        feature: activations of the learned feature that is the parent's (see `feature_recovery(...).pairs`).

    Raises:
        ValueError: for a child without its parent, or shapes that do not fit.
    """
    parent, child = parent.to(torch.bool), child.to(torch.bool)
    if not feature.shape == parent.shape == child.shape or feature.ndim != 1:
        raise ValueError(
            f"feature, parent and child are [example] all three; got {tuple(feature.shape)}, {tuple(parent.shape)} "
            f"and {tuple(child.shape)}."
        )
    if bool((child & ~parent).any()):
        raise ValueError(
            "a child is present without its parent; in a hierarchy the child implies the parent."
        )

    def recall(where: Any) -> float:
        return float((feature[where] > 0).double().mean()) if bool(where.any()) else float("nan")

    return HierarchyProbe(recall(parent & ~child), recall(child))
