"""The features with the most similar decoder directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.model.precision import at_least_float32


@dataclass(frozen=True)
class Neighbours:
    """The nearest features of one feature, in descending order of cosine."""

    feature: int
    """The feature whose neighbours these are."""
    nearest: tuple[int, ...]
    """Indices of the neighbours."""
    cosines: tuple[float, ...]
    """Cosines of their decoder rows."""


@checked_arguments
def nearest_features(
    decoder: Float[Tensor, "feature d_model"],
    features: Sequence[int],
    count: int = 5,
    among: Float[Tensor, "other d_model"] | None = None,
) -> tuple[Neighbours, ...]:
    """The features with the largest cosine to each of `features`, without the feature itself.

    Args:
        decoder: rows of W_dec.
        among: decoder rows of another dictionary to search; None searches this one.

    Raises:
        ValueError: for a feature that does not exist, or more neighbours than there are.
    """
    others = decoder if among is None else among
    available = len(others) - (among is None)
    if not 1 <= count <= available:
        raise ValueError(f"count must be from 1 to the number of other features, {available}, not {count}.")
    if not len(features) or min(features) < 0 or max(features) >= len(decoder):
        raise ValueError(f"features must be from 0 to {len(decoder) - 1}, not {tuple(features)}.")
    rows = F.normalize(at_least_float32(others.detach()), dim=-1)
    found: list[Neighbours] = []
    # One row at a time: the whole matrix of cosines would have d_sae² entries.
    for feature in features:
        cosines = rows @ F.normalize(at_least_float32(decoder[feature].detach()), dim=-1)
        if among is None:
            cosines[feature] = -2.0
        best = cosines.topk(count)
        found.append(Neighbours(feature, tuple(best.indices.tolist()), tuple(best.values.tolist())))
    return tuple(found)
