"""How the activations of all units of a site are distributed, and measures by which odd units are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mechscope.arguments import brief_repr
from mechscope.near_names import did_you_mean
from mechscope.neuroscope.units import UnitStatistics


@dataclass(frozen=True)
class SiteStatistics:
    """Arrays with one entry per unit of a site; see `UnitStatistics` for what they mean."""

    tokens: Int[np.ndarray, " unit"]
    firing_rate: Float[np.ndarray, " unit"]
    mean: Float[np.ndarray, " unit"]
    variance: Float[np.ndarray, " unit"]
    skewness: Float[np.ndarray, " unit"]
    kurtosis: Float[np.ndarray, " unit"]
    maximum: Float[np.ndarray, " unit"]
    minimum: Float[np.ndarray, " unit"]

    __repr__ = brief_repr

    def of(self, unit: int) -> UnitStatistics:
        """The statistics of one unit."""
        values: dict[str, Any] = {field.name: getattr(self, field.name)[unit] for field in fields(self)}
        tokens = int(values.pop("tokens"))
        return UnitStatistics(tokens, **{name: float(value) for name, value in values.items()})


def bimodality(statistics: SiteStatistics) -> Float[np.ndarray, " unit"]:
    """The bimodality coefficient: (skewness² + 1) / (kurtosis + 3), where kurtosis is 0 for a normal distribution.

    It is 1 for a distribution with two values, 5/9 for a uniform one and 1/3 for a normal one; above 5/9 suggests two
    modes. A long tail on one side raises it too, so look at the histogram (Pfister et al. 2013, "Good things peak in
    pairs", Frontiers in Psychology 4:700; their correction for small samples does not matter for thousands of tokens).
    """
    return (statistics.skewness**2 + 1) / (statistics.kurtosis + 3)


@dataclass(frozen=True)
class Measure:
    """A number per unit, by which units can be sorted."""

    description: str
    """What it is, in a sentence."""
    values: Callable[[SiteStatistics], Float[np.ndarray, " unit"]]
    """The number of every unit."""
    ascending: bool = False
    """Whether the smallest numbers are the interesting ones."""


MEASURES: Mapping[str, Measure] = {
    "kurtosis": Measure(
        "The fourth standardised moment minus 3 (0 for a normal distribution): high for a unit that is mostly near its "
        "mean and now and then far from it. Elhage et al. (2023), Privileged Bases in the Transformer Residual "
        "Stream, use it to find directions that are special.",
        lambda statistics: statistics.kurtosis,
    ),
    "skewness": Measure(
        "The third standardised moment (0 for a symmetric distribution): high for a long tail of large activations.",
        lambda statistics: statistics.skewness,
    ),
    "sparse": Measure(
        "The share of tokens with a positive activation, called density by Bricken et al. (2023, Towards "
        "Monosemanticity), the smallest first, without units that never fire.",
        lambda statistics: np.where(statistics.firing_rate > 0, statistics.firing_rate, np.nan),
        ascending=True,
    ),
    "dense": Measure(
        "The share of tokens with a positive activation, the largest first.",
        lambda statistics: statistics.firing_rate,
    ),
    "bimodal": Measure(
        "The bimodality coefficient (skewness² + 1) / (kurtosis + 3): above 5/9 suggests two modes, or a long tail on "
        "one side (Pfister et al. 2013).",
        bimodality,
    ),
    "maximum": Measure("The largest activation.", lambda statistics: statistics.maximum),
    "minimum": Measure(
        "The smallest activation, the lowest first.", lambda statistics: statistics.minimum, ascending=True
    ),
    "mean": Measure("The mean activation.", lambda statistics: statistics.mean),
    "variance": Measure("The mean squared distance from the mean.", lambda statistics: statistics.variance),
}
"""Measures by name. Kurtosis and skewness are NaN for units that never change; NaN is sorted last."""


def measure(name: str) -> Measure:
    """A measure by its name.

    Raises:
        KeyError: for an unknown name, with the closest one and the list.
    """
    if name not in MEASURES:
        raise KeyError(
            f"there is no measure {name!r}.{did_you_mean(name, MEASURES)} There are: {', '.join(MEASURES)}."
        )
    return MEASURES[name]


def ranked(
    statistics: SiteStatistics, name: str
) -> tuple[Int[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Units in the order of a measure, and the measure's values in that order; units without a value are left out.

    Raises:
        KeyError: for an unknown measure.
    """
    by = measure(name)
    values = by.values(statistics).astype(np.float64)
    order = np.argsort(values if by.ascending else -values, kind="stable")
    order = order[~np.isnan(values[order])]
    return order, values[order]
