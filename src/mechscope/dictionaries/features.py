"""Sparse features: of each example only the active entries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class SparseFeatures:
    """The k entries of each example that may differ from zero."""

    values: Float[Tensor, "*batch k"]
    """What they are; a value may itself be zero."""
    indices: Int[Tensor, "*batch k"]
    """Which features they are."""
    d_sae: int
    """How many features there are."""

    def dense(self) -> Float[Tensor, "*batch feature"]:
        """The same with the zeros written out."""
        zeros = self.values.new_zeros(*self.values.shape[:-1], self.d_sae)
        return zeros.scatter(-1, self.indices, self.values)


Features = Tensor | SparseFeatures
"""Features [*batch feature], written out or not."""


def as_rows(values: Shaped[Tensor, "*batch width"]) -> Shaped[Tensor, "example width"]:
    """One row for each vector, also for a single vector."""
    return values.reshape(-1, values.shape[-1])


def count_active(features: Features) -> Float[Tensor, "*batch"]:
    """L0: how many features are above zero in each example."""
    values = features if isinstance(features, Tensor) else features.values
    return (values > 0).sum(-1).to(torch.float32)


def fired(features: Features) -> Bool[Tensor, " feature"]:
    """Which features are above zero in at least one example."""
    if isinstance(features, Tensor):
        return as_rows(features > 0).any(0)
    happened = torch.zeros(features.d_sae, dtype=torch.bool, device=features.values.device)
    happened[features.indices[features.values > 0]] = True
    return happened


def times_active(features: Features) -> Int[Tensor, " feature"]:
    """In how many examples each feature is above zero."""
    if isinstance(features, Tensor):
        return as_rows(features > 0).sum(0)
    return torch.bincount(features.indices[features.values > 0], minlength=features.d_sae)
