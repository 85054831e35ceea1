"""The geometric median: the point with the smallest sum of distances, which a few outliers cannot move."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def geometric_median(
    points: Float[Tensor, "batch d_in"], *, steps: int = 100, tolerance: float = 1e-6
) -> Float[Tensor, " d_in"]:
    """The geometric median, by Weiszfeld's iteration (1937) in float64, starting from the mean.

    Args:
        steps: the largest number of iterations.
        tolerance: the iteration stops once the sum of distances falls by less than this share.

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
