"""Is a rule's score better than chance? The same rule is tried on other units, or on the same unit moved elsewhere.

**Other units** of the same site, and so of the same layer, that fire about as often. A rule such as "every space"
scores well for many units; a label that holds must do better for its own. The p-value is (1 + k) / (1 + n) if k of n
other units have an AUC at least as high, so that it is never smaller than 1 / (1 + n).

**Moved copies**: if fewer than `FEWEST` such units exist, as with the heads of a layer, the unit's own activations are
shifted along the text by a random number of tokens, which keeps how often and in what runs it fires. This is a weaker
question: it asks only whether the rule has anything to do with the unit.

Sources: North, Curtis and Sham (2002), A Note on the Calculation of Empirical P Values from Monte Carlo Procedures, for
the 1 that is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mechscope.neuroscope.labels.detector import aucs

FEWEST = 19
"""With fewer than so many other units, no p-value could be 0.05."""
MOST = 99
"""How many other units, or moved copies, are drawn for each seed."""
SIMILAR = 2.0
"""Units fire about as often if neither fires more than so many times as often as the other …"""
MOST_DIFFERENT = 10.0
"""… or so many times, for the closest ones of a site that has fewer than `FEWEST` of the others."""


@dataclass(frozen=True)
class Null:
    """How a rule does where it should not."""

    kind: str
    """"other units" or "moved copies"."""
    median_auc: float
    p: float
    """The largest p-value of all seeds."""
    p_by_seed: tuple[float, ...]
    draws: int
    """How many units or copies the largest p-value was computed from."""

    @property
    def resolution(self) -> float:
        """The smallest p-value that could have been found."""
        return 1 / (1 + self.draws)


def similar_units(rates: Float[np.ndarray, " unit"], unit: int) -> list[int]:
    """The other units that fire about as often.

    >>> similar_units(np.array([0.1, 0.15, 0.5, 0.0, 0.001]), 0)
    [1, 2]
    """
    if rates[unit] <= 0:
        return []
    times = np.full(len(rates), np.inf)
    fire = rates > 0
    times[fire] = np.maximum(rates[fire] / rates[unit], rates[unit] / rates[fire])
    times[unit] = np.inf
    order = np.argsort(times, kind="stable")
    number = max((times <= SIMILAR).sum(), min((times <= MOST_DIFFERENT).sum(), FEWEST))
    return sorted(order[:number].tolist())


def compare_with_null(
    own: float,
    scores: Float[np.ndarray, " token"],
    fires: Bool[np.ndarray, " token"],
    others: Bool[np.ndarray, "token unit"],
    seeds: Sequence[int],
) -> Null:
    """The p-value of an AUC.

    Args:
        own: the AUC for the rule's own unit.
        scores: the rule's scores.
        fires: whether the unit fires at each token.
        others: whether other units do, those that fire about as often in the harvest.
        seeds: one draw each.
    """
    found = aucs(scores, others) if others.shape[1] else np.zeros(0)
    found = found[np.isfinite(found)]
    enough = len(found) >= FEWEST
    by_seed: list[tuple[float, int, float]] = []
    for seed in seeds:
        draw = np.random.default_rng(seed)
        if enough:
            drawn = draw.choice(found, min(MOST, len(found)), replace=False)
        else:
            shifts = draw.integers(1, max(len(fires), 2), size=MOST)
            drawn = aucs(scores, np.stack([np.roll(fires, shift) for shift in shifts.tolist()], axis=1))
        by_seed.append(
            (float((1 + (drawn >= own).sum()) / (1 + len(drawn))), len(drawn), float(np.median(drawn)))
        )
    p, draws, _ = max(by_seed)
    return Null(
        "other units" if enough else "moved copies",
        float(np.median([median for _, _, median in by_seed])),
        p,
        tuple(each for each, _, _ in by_seed),
        draws,
    )
