"""Sums of a few weighted rows of a table for every pair, and back.

As a matrix, pairs by rows, the weights would be nearly all zeros: eight of 904 are not, at p = 113. So these are no
products of matrices but what torch calls bags of embeddings.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from mechscope.labs.grokking.pairs import Pairs


class RowSums:
    """Through every head, a pair uses the rows of its two numbers. All that is fixed about that."""

    def __init__(self, pairs: Pairs, n_heads: int) -> None:
        self._heads = torch.arange(n_heads, device=pairs.a.device)
        self._n_numbers = 2 * pairs.p
        self.numbers: Int[Tensor, "pair 2"] = torch.stack([pairs.a, pairs.p + pairs.b], 1)
        """The pair's rows in a table of all numbers in first place, then in second."""
        self._rows = (self._heads * self._n_numbers + self.numbers[:, :, None]).flatten(1)
        self._uses: _Uses | None = None

    def sum(
        self, rows: Float[Tensor, "head number width"], weights: Float[Tensor, "pair place_head"]
    ) -> Float[Tensor, "pair width"]:
        """Σ weight · row for every pair. Differentiable, but slowly for the rows: that is what `to_rows` is for."""
        return embedding_bag(self._rows, rows.flatten(0, 1), mode="sum", per_sample_weights=weights)

    def to_rows(
        self, values: Float[Tensor, "pair width"], weights: Float[Tensor, "pair place_head"]
    ) -> Float[Tensor, "head number width"]:
        """Σ weight · value for every row, over the pairs that use it: the gradient of `sum` for its rows."""
        if self._uses is None:
            self._uses = self._find_uses()
        uses, n_heads = self._uses, len(self._heads)
        sums = embedding_bag(
            uses.pair, values, uses.start, mode="sum", per_sample_weights=weights.flatten()[uses.weight]
        )
        return sums.view(self._n_numbers, n_heads, -1).transpose(0, 1)

    def _find_uses(self) -> _Uses:
        # A number's heads one after another: they use the same pairs, which then are in the cache.
        n_heads = len(self._heads)
        row = (n_heads * self.numbers[:, :, None] + self._heads).flatten()
        weight, count = row.argsort(stable=True), row.bincount(minlength=self._n_numbers * n_heads)
        return _Uses(weight // (2 * n_heads), weight, count.cumsum(0) - count)


class _Uses(NamedTuple):
    """Every use of a row by a pair, sorted by rows."""

    pair: Int[Tensor, " use"]
    """Which pair."""
    weight: Int[Tensor, " use"]
    """Which of all weights."""
    start: Int[Tensor, " row"]
    """A row's first use."""
