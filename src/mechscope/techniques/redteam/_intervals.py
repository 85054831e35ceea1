"""Intervals over examples, and ranks among random draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
SIGNIFICANT = 0.05
FEWEST_DRAWS = 19
"""With fewer draws a p-value of 1 / (draws + 1) never falls to 0.05."""


@dataclass(frozen=True)
class Estimate:
    """A number and its bootstrap interval (95 % unless said otherwise)."""

    value: float
    low: float
    high: float


class Bootstrap:
    """The same resampled sets of examples for every estimate, so that differences are paired.

    Args:
        examples: how many there are.
        seed: of the draw.
    """

    def __init__(self, examples: int, seed: int) -> None:
        generator = np.random.default_rng([seed, 7])
        self.examples = examples
        self._rows = generator.integers(examples, size=(RESAMPLES, examples))

    def mean(self, values: torch.Tensor, level: float = LEVEL) -> Estimate:
        """The mean of one value an example; NaN stands for an example that says nothing."""
        return self.statistic(lambda rows: _nanmean(rows[0]), values, level=level)

    def share(self, values: torch.Tensor, zero: torch.Tensor, one: torch.Tensor) -> Estimate:
        """How far the mean of `values` is from that of `zero` to that of `one`."""
        return self.statistic(lambda rows: _share(*rows), values, zero, one)

    def statistic(
        self,
        function: Callable[[list[NDArray[np.float64]]], NDArray[np.float64]],
        *values: torch.Tensor,
        level: float = LEVEL,
    ) -> Estimate:
        """Any function of arrays [resample example] that gives one number a resample."""
        arrays = [each.detach().cpu().double().numpy() for each in values]
        whole = float(function([each[None] for each in arrays])[0])
        draws = function([each[self._rows] for each in arrays])
        draws = draws[np.isfinite(draws)]
        if not len(draws):
            return Estimate(whole, float("nan"), float("nan"))
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return Estimate(whole, float(low), float(high))


def p_value(measured: float, null: NDArray[np.float64]) -> float:
    """The share of draws at least as large, the claim itself counted as one: (1 + r) / (1 + n)."""
    return float((1 + (null >= measured - 1e-9).sum()) / (1 + len(null)))


def _nanmean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = np.isfinite(values)
    count = there.sum(-1)
    total = np.where(there, values, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _share(
    values: NDArray[np.float64], zero: NDArray[np.float64], one: NDArray[np.float64]
) -> NDArray[np.float64]:
    bottom = one.mean(-1) - zero.mean(-1)
    return (values.mean(-1) - zero.mean(-1)) / np.where(bottom == 0, np.nan, bottom)
