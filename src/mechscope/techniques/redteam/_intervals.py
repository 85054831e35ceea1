"""Estimates with bootstrap intervals over examples, and p-values from random draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mechscope.results.bootstrap import Floats, bootstrap_distribution, percentile_interval

RESAMPLES = 1000
LEVEL = 0.95
SIGNIFICANT = 0.05
FEWEST_DRAWS = 19
"""With fewer draws the smallest possible p-value, 1 / (draws + 1), is above 0.05."""
FLOOR = 0.1
"""A share of at most this size is at the floor: which of several such shares is the largest says nothing."""


@dataclass(frozen=True)
class Estimate:
    """A number and its bootstrap interval, at 95 % unless the code says otherwise."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Estimates that all use the same resampled sets of examples, so that differences are paired.

    Args:
        seed: seed of the resampling.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def mean(self, values: torch.Tensor, level: float = LEVEL) -> Estimate:
        """The mean of one value per example [example]; examples whose value is NaN are omitted."""
        return self.statistic(_nanmean, values, level=level)

    def share(self, values: torch.Tensor, zero: torch.Tensor, one: torch.Tensor) -> Estimate:
        """Where the mean of `values` lies between the mean of `zero` (0) and the mean of `one` (1)."""
        return self.statistic(_share, values, zero, one)

    def statistic(
        self, function: Callable[..., Floats], *values: torch.Tensor, level: float = LEVEL
    ) -> Estimate:
        """Any statistic of values per example.

        Args:
            function: from arrays [resample example] to one number per resample.
            values: one array [example] for each argument of the function.
            level: share of the resamples within the interval.
        """
        arrays = [each.detach().cpu().double().numpy() for each in values]
        whole = float(function(*(each[None] for each in arrays))[0])
        draws = bootstrap_distribution(
            arrays, function, resamples=RESAMPLES, rng=np.random.default_rng([self.seed, 7])
        )
        draws = draws[np.isfinite(draws)]
        if not len(draws):
            return Estimate(whole, float("nan"), float("nan"))
        low, high = percentile_interval(draws, level)
        return Estimate(whole, float(low), float(high))


def p_value(measured: float, null: NDArray[np.float64]) -> float:
    """One-sided p-value (1 + r) / (1 + n): r of the n random draws are at least as large as the measured value."""
    return float((1 + (null >= measured - 1e-9).sum()) / (1 + len(null)))


def _nanmean(values: Floats) -> Floats:
    there = np.isfinite(values)
    count = there.sum(-1)
    total = np.where(there, values, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _share(values: Floats, zero: Floats, one: Floats) -> Floats:
    bottom = one.mean(-1) - zero.mean(-1)
    return (values.mean(-1) - zero.mean(-1)) / np.where(bottom == 0, np.nan, bottom)
