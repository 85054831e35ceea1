"""Do induction heads read previous-token heads more than other heads? A permutation test over the heads' labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial, isfinite, nan

import torch
from jaxtyping import Float, Int
from torch import Tensor

EXACT = 1_000_000
"""Up to this many relabellings are all tried. If there are more, `DRAWN` of them are drawn at random."""
DRAWN = 50_000


@dataclass(frozen=True)
class Relabelling:
    """The outcome of the test."""

    statistic: float
    """T of the actual labels."""
    p: float
    """Share of relabellings whose T is at least as large; NaN if T is NaN."""


def relabelling_test(
    previous: Float[Tensor, " head_out"],
    prefix: Float[Tensor, " head_in"],
    composition: Float[Tensor, "head_out head_in"],
    seed: int = 0,
) -> Relabelling:
    """T = Σ over pairs of (previous-token score - mean) · K-composition · (prefix score - mean), and its p.

    Under the null hypothesis it does not matter which head of a layer has which score. If all heads of a layer have the
    same score, p is 1. If a composition is NaN, as for weights that are all zero, p is NaN.

    Args:
        previous: previous-token scores of the heads of layer 0.
        prefix: prefix scores of the heads of layer 1.
        composition: K-composition of each head of layer 0 with each head of layer 1.
    """
    first, second = previous.double() - previous.double().mean(), prefix.double() - prefix.double().mean()
    weights = composition.double()
    observed = float(first @ weights @ second)
    if not isfinite(observed):
        return Relabelling(observed, nan)
    # A relabelling with equal T must count in spite of rounding.
    least = observed - 1e-9 * float(first.abs() @ weights.abs() @ second.abs()) - 1e-300
    if factorial(len(first)) * factorial(len(second)) <= EXACT:
        by_first, by_second = first[_all_orders(len(first))], second[_all_orders(len(second))]
        found = by_first @ weights @ by_second.T
        return Relabelling(observed, float((found >= least).double().mean()))
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.rand(DRAWN, len(scores), generator=generator).argsort(1) for scores in (first, second)]
    found = torch.einsum("no,oi,ni->n", first[orders[0]], weights, second[orders[1]])
    # The actual labels count as one of the draws.
    return Relabelling(observed, (1 + int((found >= least).sum())) / (1 + DRAWN))


def _all_orders(count: int) -> Int[Tensor, "order head"]:
    return torch.tensor(list(permutations(range(count))))
