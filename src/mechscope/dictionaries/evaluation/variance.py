"""Fraction of variance unexplained: the squared error divided by the squared distance from the mean."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import checked_arguments


class VarianceUnexplained:
    """The fraction of variance unexplained, computed batch by batch, with the same result as from all examples at once.

    Both squares are summed over dimensions and examples before the division (so dimensions are weighted by their
    variance), and the mean is that of all examples, not of a batch. Source: Gao et al. 2024, section 2.1. Some tools
    average the ratio over dimensions or use the mean of each batch, which gives other numbers.
    """

    def __init__(self) -> None:
        self.count = 0
        self.error = 0.0
        self.spread = 0.0
        self.mean: Tensor | None = None

    def add(self, target: Float[Tensor, "batch d_out"], reconstruction: Float[Tensor, "batch d_out"]) -> None:
        """Add a batch."""
        target, reconstruction = target.detach().double(), reconstruction.detach().double()
        self.error += float((target - reconstruction).square().sum())
        mean, count = target.mean(0), len(target)
        self.spread += float((target - mean).square().sum())
        if self.mean is None:
            self.mean, self.count = mean, count
            return
        # The variances of two groups about their own means, plus the variance between the means.
        total = self.count + count
        apart = mean - self.mean
        self.spread += float(apart.square().sum()) * self.count * count / total
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def value(self) -> float:
        """0 is perfect, predicting the mean gives 1, and worse is possible; NaN if nothing varies."""
        return self.error / self.spread if self.spread > 0 else float("nan")


@checked_arguments
def fraction_of_variance_unexplained(
    target: Float[Tensor, "batch d_out"], reconstruction: Float[Tensor, "batch d_out"]
) -> float:
    """The fraction of variance unexplained of one set of examples.

    >>> import torch
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    >>> fraction_of_variance_unexplained(x, x.mean(0).expand(2, 2))
    1.0
    """
    sums = VarianceUnexplained()
    sums.add(target, reconstruction)
    return sums.value


__all__ = ["VarianceUnexplained", "fraction_of_variance_unexplained"]
