"""Do two curves change at the same time? A permutation test of the correlation of their increments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DRAWN = 99_999
"""How many random orders p is estimated from."""


@dataclass(frozen=True)
class TogetherTest:
    """The outcome of the test."""

    r: float
    """Pearson correlation of the increments; NaN if a curve's increments are all equal."""
    p: float
    """Share of random orders of the increments that correlate at least as much; NaN if r is NaN."""


def increments_test(
    first: Float[Tensor, " step"], second: Float[Tensor, " step"], seed: int = 0
) -> TogetherTest:
    """Correlation of two curves' increments from checkpoint to checkpoint, and its one-sided permutation p.

    Any two curves that rise during training are correlated. Their increments are correlated only if they rise at the
    same time.

    Raises:
        ValueError: if the curves differ in length or have fewer than four points.
    """
    if first.shape != second.shape or len(first) < 4:
        raise ValueError(
            f"the curves must have the same length, at least 4, not {len(first)} and {len(second)}."
        )
    changes = [curve.double().diff() for curve in (first, second)]
    a, b = (change - change.mean() for change in changes)
    scale = float(a.norm() * b.norm())
    if scale == 0:
        return TogetherTest(float("nan"), float("nan"))
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(DRAWN, len(a), generator=generator).argsort(1)
    observed = float(a @ b)
    as_much = (b[order] @ a) >= observed - 1e-9 * scale
    # The observed order counts as one of the draws.
    return TogetherTest(observed / scale, (1 + int(as_much.sum())) / (1 + DRAWN))
