"""How well the scores of a rule say where a unit fires: numbers with intervals, and the same for other units.

- **AUC**: the probability that the rule gives a higher score to a token at which the unit fires than to one at which
  it does not; ties count half, and 0.5 is chance. For a rule that only says yes or no, it is the mean of the recall and
  of the share of quiet tokens that do not match.
- **Precision**: of the tokens that match, the share at which the unit fires.
- **Recall**: of the tokens at which the unit fires, the share that match.
- **AUC on near misses**: the same as AUC, but the quiet tokens are only those that equal, as text, a token at which
  the unit fires elsewhere. It is near 0.5 for a rule that knows the token and nothing about what surrounds it.

Intervals are 95 % percentile intervals of a bootstrap over documents, because tokens of a document are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from mechscope.results.bootstrap import bootstrap_distribution, percentile_interval

RESAMPLES = 1_000
LEVELS = 64
"""Scores of more different values are put into so many groups of about the same size, for the interval of the AUC."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Detection:
    """How well a rule predicts a unit."""

    auc: Estimate
    near_auc: Estimate | None
    """None if no quiet token is a near miss."""
    precision: Estimate
    recall: Estimate


def detect(
    scores: Float[np.ndarray, " token"],
    fires: Bool[np.ndarray, " token"],
    near: Bool[np.ndarray, " token"],
    document: Int[np.ndarray, " token"],
    seeds: Sequence[int],
) -> Detection:
    """Compare a rule's scores with what a unit does.

    Args:
        scores: the rule's score of each token; above 0 is a match.
        fires: whether the unit fires.
        near: whether the token is a near miss.
        document: the number of its document.
        seeds: one bootstrap each; the interval has the lowest and the highest ends of all.

    Raises:
        ValueError: if the unit fires at all tokens or at none.
    """
    if not fires.any() or fires.all():
        raise ValueError(
            f"the unit fires at {int(fires.sum())} of {len(fires)} tokens: both kinds are needed."
        )
    groups = _groups(scores)
    _, number = np.unique(document, return_inverse=True)
    yes, quiet, misses = (_table(groups[which], number[which], groups.max() + 1, number.max() + 1)
                          for which in (fires, ~fires, near))  # fmt: skip
    matched = np.zeros(groups.max() + 1, bool)
    matched[groups[scores > 0]] = True
    estimates = [
        _estimate(statistic, seeds, *tables)
        for statistic, tables in (
            (_auc, (yes, quiet)),
            (_auc, (yes, misses)),
            (lambda own, other: _share(own[:, matched], other[:, matched]), (yes, quiet)),
            (lambda own, other: _share(own[:, matched], own[:, ~matched]), (yes, quiet)),
        )
    ]
    # The groups of many different scores are too coarse for the number itself.
    exact = float(aucs(scores, fires[:, None])[0])
    auc = Estimate(exact, estimates[0].low, estimates[0].high)
    return Detection(auc, estimates[1] if near.any() else None, estimates[2], estimates[3])


def aucs(
    scores: Float[np.ndarray, " token"], fires: Bool[np.ndarray, "token unit"]
) -> Float[np.ndarray, " unit"]:
    """The AUC of one rule for many units; NaN for units that fire at all tokens or at none.

    >>> aucs(np.array([0.0, 1.0, 0.0]), np.array([[False], [True], [False]])).tolist()
    [1.0]
    """
    own = fires.sum(0)
    other = len(fires) - own
    ranks = rankdata(scores) @ fires
    with np.errstate(invalid="ignore", divide="ignore"):
        return (ranks - own * (own + 1) / 2) / (own * other)


def _groups(scores: Float[np.ndarray, " token"]) -> Int[np.ndarray, " token"]:
    """The number of each score's group, in ascending order; no group has scores on both sides of 0."""
    values, numbers = np.unique(scores, return_inverse=True)
    if len(values) <= LEVELS:
        return numbers
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, LEVELS - 1)[1:-1]))
    return np.digitize(scores, np.unique([*edges, np.nextafter(0.0, 1.0)]))


def _table(
    groups: np.ndarray, document: np.ndarray, n_groups: int, n_documents: int
) -> Float[np.ndarray, "document group"]:
    """How many tokens of each document are in each group."""
    found = np.bincount(document * n_groups + groups, minlength=n_documents * n_groups)
    return found.reshape(n_documents, n_groups).astype(float)


def _auc(
    own: Float[np.ndarray, "resample group"], other: Float[np.ndarray, "resample group"]
) -> Float[np.ndarray, " resample"]:
    below = np.cumsum(other, axis=-1) - other
    better = (own * (below + other / 2)).sum(-1)
    with np.errstate(invalid="ignore"):
        return better / (own.sum(-1) * other.sum(-1))


def _share(
    own: Float[np.ndarray, "resample group"], rest: Float[np.ndarray, "resample other"]
) -> Float[np.ndarray, " resample"]:
    with np.errstate(invalid="ignore"):
        return own.sum(-1) / (own.sum(-1) + rest.sum(-1))


def _estimate(
    statistic: Callable[..., Float[np.ndarray, " resample"]],
    seeds: Sequence[int],
    *tables: Float[np.ndarray, "document group"],
) -> Estimate:
    value = float(statistic(*(table.sum(0, keepdims=True) for table in tables))[0])
    ends = list[tuple[float, float]]()
    for seed in seeds:

        def redrawn(rows: Int[np.ndarray, "resample document"]) -> Float[np.ndarray, " resample"]:
            rows = rows.astype(np.int64)
            times = np.zeros(rows.shape)
            np.add.at(times, (np.arange(len(rows))[:, None], rows), 1)
            return statistic(*(times @ table for table in tables))

        draws = bootstrap_distribution(
            [np.arange(len(tables[0]))], redrawn, resamples=RESAMPLES, rng=np.random.default_rng(seed)
        )
        finite = draws[np.isfinite(draws)]
        if len(finite):
            low, high = percentile_interval(finite).tolist()
            ends.append((low, high))
    if not ends:
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, min(low for low, _ in ends), max(high for _, high in ends))
