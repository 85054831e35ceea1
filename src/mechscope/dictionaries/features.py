"""Sparse features: only the active entries of each example."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mechscope.arguments import brief_repr


@dataclass(frozen=True)
class SparseFeatures:
    """The k entries of each example that may differ from zero."""

    values: Float[Tensor, "*batch k"]
    """Their values, some of which may be zero."""
    indices: Int[Tensor, "*batch k"]
    """The index of each entry's feature."""
    d_sae: int
    """Number of features."""

    __repr__ = brief_repr

    def dense(self) -> Float[Tensor, "*batch feature"]:
        """The same features as a dense tensor."""
        zeros = self.values.new_zeros(*self.values.shape[:-1], self.d_sae)
        return zeros.scatter(-1, self.indices, self.values)


Features = Tensor | SparseFeatures
"""Features [*batch feature], dense or sparse."""


def as_rows(values: Shaped[Tensor, "*batch width"]) -> Shaped[Tensor, "example width"]:
    """Vectors as rows; a single vector becomes one row."""
    return values.reshape(-1, values.shape[-1])


def count_active(features: Features) -> Float[Tensor, "*batch"]:
    """L0: the number of features above zero in each example."""
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
    """The number of examples in which each feature is above zero."""
    if isinstance(features, Tensor):
        return as_rows(features > 0).sum(0)
    return torch.bincount(features.indices[features.values > 0], minlength=features.d_sae)
