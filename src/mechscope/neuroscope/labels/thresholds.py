"""Above which activation a unit counts as firing when a label is tested, and how often that is.

The threshold is a quarter of the unit's highest activation in the harvest. It is not 0, because a neuron behind a
GELU is slightly above 0 at many tokens. At a site where the sign matters, a unit may lie above a quarter most of the
time, such as the entropy of a head, or never get above 0. There, if more than a tenth of its activations are above a
quarter, or none can be, the threshold is the activation above which a tenth lie, as far as the histogram tells: its
bins are wide, and within one of them, activations are taken to be spread evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from mechscope.arguments import brief_repr
from mechscope.neuroscope.fire import share_beyond

if TYPE_CHECKING:
    from mechscope.neuroscope.statistics import SiteStatistics
    from mechscope.neuroscope.store import NeuroscopeStore

OF_MAXIMUM = 0.25
HIGHEST_SHARE = 0.1


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of all units of a site."""

    values: Float[np.ndarray, " unit"]
    rates: Float[np.ndarray, " unit"]
    """The share of the harvest's tokens at which a unit fires; where the sign does not matter, rounded up to whole bins
    of its histogram."""

    __repr__ = brief_repr


def thresholds_of(store: NeuroscopeStore, site: str) -> Thresholds:
    """The thresholds of the units of a site.

    Raises:
        KeyError: for an unknown site.
    """
    statistics, (edges, bins) = store.statistics(site), store.histograms(site)
    values = OF_MAXIMUM * np.maximum(statistics.maximum, 0)
    rates = share_beyond(edges, bins, statistics, values)
    if any(each.name == site and each.signed for each in store.sites()):
        tenth = _highest_tenth(edges, bins, statistics)
        frequent = (tenth > values) | (statistics.maximum <= 0)
        values = np.where(frequent, tenth, values)
        rates = np.where(frequent, np.where(bins.sum(1) > 0, HIGHEST_SHARE, 0.0), rates)
    return Thresholds(values, rates)


def _highest_tenth(
    edges: Float[np.ndarray, " edge"], bins: Int[np.ndarray, "unit bin"], statistics: SiteStatistics
) -> Float[np.ndarray, " unit"]:
    """The activations above which a tenth of all activations lie, if they are spread evenly within each bin."""
    total = np.maximum(bins.sum(1, keepdims=True), 1)
    # The share above the lower border of each bin, and above the last bin.
    above = np.pad(np.cumsum(bins[:, ::-1], axis=1)[:, ::-1] / total, ((0, 0), (0, 1)))
    unit, own = np.arange(len(bins)), np.maximum((above > HIGHEST_SHARE).sum(1) - 1, 0)
    low = np.maximum(edges[own], statistics.minimum)
    high = np.minimum(edges[own + 1], statistics.maximum)
    inside = above[unit, own] - above[unit, own + 1]
    part = np.divide(
        HIGHEST_SHARE - above[unit, own + 1], inside, out=np.zeros_like(inside), where=inside > 0
    )
    # A unit that is often at its maximum fires there.
    return np.minimum(high - (high - low) * np.minimum(part, 1.0), np.nextafter(statistics.maximum, -np.inf))


def rate_above(store: NeuroscopeStore, site: str, unit: int, threshold: float) -> float:
    """The share of the harvest's tokens at which a unit is above a threshold, rounded up to whole bins."""
    statistics, (edges, bins) = store.statistics(site), store.histograms(site)
    return float(share_beyond(edges, bins, statistics, np.full(len(bins), threshold))[unit])
