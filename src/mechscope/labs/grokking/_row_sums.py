"""Sums of a few weighted rows of a table for every pair, and the gradients of these sums for the rows.

As a matrix [pair, row], nearly all weights would be zero: at p = 113 all but eight of 904 per pair. So the sums are
computed as bags of embeddings (`torch.nn.functional.embedding_bag`) instead of matrix products.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from mechscope.labs.grokking.pairs import Pairs


class RowSums:
    """Which rows each pair uses: those of its two numbers, for every head."""

    def __init__(self, pairs: Pairs, n_heads: int) -> None:
        self._heads = torch.arange(n_heads, device=pairs.a.device)
        self._n_numbers = 2 * pairs.p
        self.numbers: Int[Tensor, "pair 2"] = torch.stack([pairs.a, pairs.p + pairs.b], 1)
        """Rows of a pair in a table of all numbers in first position, then all numbers in second position."""
        self._rows = (self._heads * self._n_numbers + self.numbers[:, :, None]).flatten(1)
        self._uses: _Uses | None = None

    def sum(
        self, rows: Float[Tensor, "head number width"], weights: Float[Tensor, "pair place_head"]
    ) -> Float[Tensor, "pair width"]:
        """Σ weight · row for every pair. Use `to_rows` for the rows' gradients: those of autograd are slow."""
        return embedding_bag(self._rows, rows.flatten(0, 1), mode="sum", per_sample_weights=weights)

    def to_rows(
        self, values: Float[Tensor, "pair width"], weights: Float[Tensor, "pair place_head"]
    ) -> Float[Tensor, "head number width"]:
        """Σ weight · value for every row, over the pairs that use it: the gradient of `sum` for the rows."""
        if self._uses is None:
            self._uses = self._find_uses()
        uses, n_heads = self._uses, len(self._heads)
        sums = embedding_bag(
            uses.pair, values, uses.start, mode="sum", per_sample_weights=weights.flatten()[uses.weight]
        )
        return sums.view(self._n_numbers, n_heads, -1).transpose(0, 1)

    def _find_uses(self) -> _Uses:
        # All heads of a number use the same pairs, so they come one after another: the pairs are then in the cache.
        n_heads = len(self._heads)
        row = (n_heads * self.numbers[:, :, None] + self._heads).flatten()
        weight, count = row.argsort(stable=True), row.bincount(minlength=self._n_numbers * n_heads)
        return _Uses(weight // (2 * n_heads), weight, count.cumsum(0) - count)


class _Uses(NamedTuple):
    """Every use of a row by a pair, sorted by rows."""

    pair: Int[Tensor, " use"]
    """Which pair."""
    weight: Int[Tensor, " use"]
    """Which of the flattened weights."""
    start: Int[Tensor, " row"]
    """Index of the first use of each row."""
