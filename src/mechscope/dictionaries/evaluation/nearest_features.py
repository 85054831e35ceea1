"""Which features point the way a feature points."""

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
    """The nearest features of one, nearest first."""

    feature: int
    """Whose neighbours they are."""
    nearest: tuple[int, ...]
    """Their numbers."""
    cosines: tuple[float, ...]
    """Cosines of decoder rows."""


@checked_arguments
def nearest_features(
    decoder: Float[Tensor, "feature d_model"],
    features: Sequence[int],
    count: int = 5,
    among: Float[Tensor, "other d_model"] | None = None,
) -> tuple[Neighbours, ...]:
    """The features with the largest cosine to each of `features`, itself left out.

    Args:
        decoder: rows of W_dec.
        among: rows of another dictionary to look in; None: this one.

    Raises:
        ValueError: for a feature that does not exist, or more neighbours than there are.
    """
    others = decoder if among is None else among
    available = len(others) - (among is None)
    if not 1 <= count <= available:
        raise ValueError(f"count must be from 1 to the {available} other features there are, not {count}.")
    if not len(features) or min(features) < 0 or max(features) >= len(decoder):
        raise ValueError(f"features are numbers from 0 to {len(decoder) - 1}, not {tuple(features)}.")
    rows = F.normalize(at_least_float32(others.detach()), dim=-1)
    found: list[Neighbours] = []
    # One row at a time: the whole matrix of cosines would be d_sae squared.
    for feature in features:
        cosines = rows @ F.normalize(at_least_float32(decoder[feature].detach()), dim=-1)
        if among is None:
            cosines[feature] = -2.0
        best = cosines.topk(count)
        found.append(Neighbours(feature, tuple(best.indices.tolist()), tuple(best.values.tolist())))
    return tuple(found)
