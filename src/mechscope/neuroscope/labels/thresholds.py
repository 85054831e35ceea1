"""Above which activation a unit counts as firing when a label is tested, and how often that is.

At a site where the sign does not matter, the threshold is a quarter of the unit's highest activation in the harvest. It
is not 0, because a neuron behind a GELU is slightly above 0 at many tokens. At a site where the sign matters, such as
the entropy of a head, it is the border of the bins above which at most a tenth of the activations lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mechscope.arguments import brief_repr
from mechscope.neuroscope.fire import share_beyond

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore

OF_MAXIMUM = 0.25
HIGHEST_SHARE = 0.1


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of all units of a site."""

    values: Float[np.ndarray, " unit"]
    rates: Float[np.ndarray, " unit"]
    """The share of the harvest's tokens at which a unit fires, rounded up to whole bins of its histogram."""

    __repr__ = brief_repr


def thresholds_of(store: NeuroscopeStore, site: str) -> Thresholds:
    """The thresholds of the units of a site.

    Raises:
        KeyError: for an unknown site.
    """
    statistics, (edges, bins) = store.statistics(site), store.histograms(site)
    if any(each.name == site and each.signed for each in store.sites()):
        total = np.maximum(bins.sum(1, keepdims=True), 1)
        above = np.cumsum(bins[:, ::-1], axis=1)[:, ::-1] / total
        values = edges[:-1][np.minimum((above > HIGHEST_SHARE).sum(1), len(edges) - 2)]
    else:
        values = OF_MAXIMUM * np.maximum(statistics.maximum, 0)
    return Thresholds(values, share_beyond(edges, bins, statistics, values))


def rate_above(store: NeuroscopeStore, site: str, unit: int, threshold: float) -> float:
    """The share of the harvest's tokens at which a unit is above a threshold, rounded up to whole bins."""
    statistics, (edges, bins) = store.statistics(site), store.histograms(site)
    return float(share_beyond(edges, bins, statistics, np.full(len(bins), threshold))[unit])
