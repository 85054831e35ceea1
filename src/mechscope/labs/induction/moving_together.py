"""Do two curves change together, checkpoint by checkpoint? A permutation test on their increments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DRAWN = 99_999
"""Number of random orders that p is estimated from."""


@dataclass(frozen=True)
class TogetherTest:
    """The outcome."""

    r: float
    """Pearson correlation of the increments; NaN if a curve's increments are all equal."""
    p: float
    """Share of random orders of the increments that correlate at least as much; NaN if r is NaN."""


def increments_test(
    first: Float[Tensor, " step"], second: Float[Tensor, " step"], seed: int = 0
) -> TogetherTest:
    """Correlation of two curves' increments from checkpoint to checkpoint, and its one-sided permutation p.

    Two curves that rise over a training correlate whatever they have to do with each other; their increments do only
    if they rise at the same time.

    Raises:
        ValueError: if the curves differ in length or have fewer than four points.
    """
    if first.shape != second.shape or len(first) < 4:
        raise ValueError(
            f"two curves of equal length, at least 4, are compared; these have {len(first)} and {len(second)}."
        )
    changes = [curve.double().diff() for curve in (first, second)]
    a, b = (change - change.mean() for change in changes)
    size = float(a.norm() * b.norm())
    if size == 0:
        return TogetherTest(float("nan"), float("nan"))
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(DRAWN, len(a), generator=generator).argsort(1)
    observed = float(a @ b)
    as_much = (b[order] @ a) >= observed - 1e-9 * size
    # The observed order counts as one of the draws.
    return TogetherTest(observed / size, (1 + int(as_much.sum())) / (1 + DRAWN))
