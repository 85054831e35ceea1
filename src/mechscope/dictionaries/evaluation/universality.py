"""Universality: does another dictionary (with another seed, or of another model) have the same features?

It compares activations, not directions, so two models need not share a basis. Source: Bricken et al. 2023, "Towards
Monosemanticity", section on universality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.dictionaries.evaluation._batches import written_out
from mechscope.dictionaries.features import Features

Units = Features
"""Activations of features or of neurons [batch feature]."""


@dataclass(frozen=True)
class Universality:
    """For each unit of the first side, its largest correlation with a unit of the second side."""

    max_correlation: Float[Tensor, " feature"]
    """Pearson correlation with the best partner; NaN for a unit that never changes."""
    partner: Int[Tensor, " feature"]
    """Index of the best partner; -1 for a unit that never changes."""

    __repr__ = brief_repr

    @property
    def median(self) -> float:
        """Median over the units that change; NaN if there are none."""
        some = self.max_correlation[~self.max_correlation.isnan()]
        return float(some.median()) if len(some) else float("nan")

    @property
    def constant(self) -> int:
        """Units of the first side that never change (dead ones), which are left out of the median."""
        return int(self.max_correlation.isnan().sum())


class Correlations:
    """Pearson correlations between two sets of units, computed batch by batch with one matrix [first second]."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None = None
        self.shift: tuple[Tensor, Tensor] | None = None

    def add(self, first: Units, second: Units) -> None:
        """Add a batch, with the same examples on both sides.

        Raises:
            ValueError: if the sides have different numbers of examples.
        """
        a, b = (written_out(side).detach().flatten(0, -2).double() for side in (first, second))
        if len(a) != len(b):
            raise ValueError(f"both sides must see the same examples; one has {len(a)}, the other {len(b)}.")
        if self.shift is None:
            # A shift does not change correlations, and smaller numbers lose less in the differences below.
            self.shift = a.mean(0), b.mean(0)
        a, b = a - self.shift[0], b - self.shift[1]
        new = a.sum(0), b.sum(0), a.square().sum(0), b.square().sum(0), a.T @ b
        if self.sums is None:
            self.sums = new
        else:
            x, y, xx, yy, xy = (old + more for old, more in zip(self.sums, new, strict=True))
            self.sums = x, y, xx, yy, xy
        self.count += len(a)

    @property
    def matrix(self) -> Float[Tensor, "first second"]:
        """The correlations; NaN for a unit that never changes.

        Raises:
            ValueError: for fewer than two examples.
        """
        if self.sums is None or self.count < 2:
            raise ValueError(f"a correlation needs at least two examples; there are {self.count}.")
        x, y, xx, yy, xy = (part / self.count for part in self.sums)
        spread_x, spread_y = xx - x.square(), yy - y.square()
        # Rounding can leave a unit that never changes with a tiny variance.
        spread_x[spread_x <= 1e-12 * xx] = float("nan")
        spread_y[spread_y <= 1e-12 * yy] = float("nan")
        return (xy - x[:, None] * y) / (spread_x[:, None] * spread_y).sqrt()


@checked_arguments
def universality(
    batches: Iterable[tuple[Units, Units]] | tuple[Units, Units],
) -> Universality:
    """The largest correlation of each unit of the first side with a unit of the second side.

    Args:
        batches: one pair of activations [batch feature] on the same examples, or a stream of pairs. For the features of
            two seeds, give (first.encode(x), second.encode(x)); for neurons, their activations.

    Raises:
        ValueError: for fewer than two examples, or different numbers of examples on the two sides.
    """
    correlations = Correlations()
    pairs = cast("Iterable[tuple[Units, Units]]", [batches] if isinstance(batches, tuple) else batches)
    for first, second in pairs:
        correlations.add(first, second)
    matrix = correlations.matrix
    constant = matrix.isnan().all(1)
    best, partner = matrix.nan_to_num(nan=-2.0).max(1)
    best[constant], partner[constant] = float("nan"), -1
    return Universality(best, partner)


@checked_arguments
def encoded(
    first: Callable[[Tensor], Units], second: Callable[[Tensor], Units], stream: Iterable[Tensor]
) -> Iterable[tuple[Units, Units]]:
    """Pairs for `universality` from one stream of activations that both dictionaries read."""
    for x in stream:
        with torch.no_grad():
            yield first(x), second(x)
