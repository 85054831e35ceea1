"""Statistics of units from the counts and sums of a harvest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mechscope.neuroscope.statistics import SiteStatistics

if TYPE_CHECKING:
    from mechscope.neuroscope.state import SiteState


def site_statistics(state: SiteState) -> SiteStatistics:
    """The statistics of all units of a site."""
    first, second, third, fourth = (power.numpy() for power in state.moments())
    minimum, maximum = (extreme.numpy().astype(np.float64) for extreme in (state.minimum, state.maximum))
    changes = maximum > minimum
    variance = np.where(changes, np.maximum(second - first**2, 0.0), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = (third - 3 * first * second + 2 * first**3) / variance**1.5
        kurtosis = (fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4) / variance**2 - 3
    defined = changes & (variance > 0)
    return SiteStatistics(
        tokens=np.full(state.units, state.tokens, np.int64),
        firing_rate=state.firing.numpy() / max(state.tokens, 1),
        mean=first,
        variance=variance,
        skewness=np.where(defined, skewness, np.nan),
        kurtosis=np.where(defined, kurtosis, np.nan),
        maximum=maximum,
        minimum=minimum,
    )
