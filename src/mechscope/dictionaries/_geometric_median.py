"""The point with the least summed distance to all others: a mean that few outliers cannot move."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def geometric_median(
    points: Float[Tensor, "batch d_in"], *, steps: int = 100, tolerance: float = 1e-6
) -> Float[Tensor, " d_in"]:
    """By Weiszfeld's iteration (1937), from the mean, in float64.

    Args:
        steps: iterations at most.
        tolerance: it stops where the summed distance falls by less than this share.

    Raises:
        ValueError: if there are no points.
    """
    if points.ndim != 2 or not len(points):
        raise ValueError(f"the geometric median needs points [batch d_in], not shape {tuple(points.shape)}.")
    x = points.double()
    median = x.mean(0)
    before = float("inf")
    for _ in range(steps):
        distance = (x - median).norm(dim=-1).clamp_min(1e-12)
        summed = float(distance.sum())
        if before - summed <= tolerance * summed:
            break
        before = summed
        weight = 1 / distance
        median = (weight @ x) / weight.sum()
    return median.to(points.dtype)
