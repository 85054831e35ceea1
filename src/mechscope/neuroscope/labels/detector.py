"""How well the scores of a rule say where a unit fires: numbers with intervals, and the same for other units.

- **AUC**: the probability that the rule gives a higher score to a token at which the unit fires than to one at which
  it does not; ties count half, and 0.5 is chance. For a rule that only says yes or no, it is the mean of the recall and
  of the share of quiet tokens that do not match.
- **Precision**: of the tokens that match, the share at which the unit fires.
- **Recall**: of the tokens at which the unit fires, the share that match.
- **AUC on near misses**: the same as AUC, but the quiet tokens are only those that equal, as text, a token at which
  the unit fires elsewhere. It is near 0.5 for a rule that knows the token and nothing about what surrounds it.

Tokens of a document are not independent, so intervals come from a bootstrap over documents. For the AUC they are its
percentiles. For a share such as the precision, percentiles would be too narrow where documents are few, and of no width
at all where every match is right: of five documents, they contain the truth in 50 to 85 of 100 cases. So the bootstrap
only says how many independent tokens the tokens are worth, and the interval is that of Clopper and Pearson for so many
(Korn and Graubard 1998, Confidence Intervals for Proportions With Small Expected Number of Positive Counts Estimated
From Survey Data, Survey Methodology 24). All intervals are at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import beta, rankdata

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
    grouped = _estimate(_auc, seeds, yes, quiet)
    # The groups of many different scores are too coarse for the number itself.
    exact = float(aucs(scores, fires[:, None])[0])
    return Detection(
        auc=Estimate(exact, grouped.low, grouped.high),
        near_auc=_estimate(_auc, seeds, yes, misses) if near.any() else None,
        precision=_share_estimate(yes[:, matched], quiet[:, matched], seeds),
        recall=_share_estimate(yes[:, matched], yes[:, ~matched], seeds),
    )


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


def _share_estimate(
    own: Float[np.ndarray, "document group"], rest: Float[np.ndarray, "document other"], seeds: Sequence[int]
) -> Estimate:
    """The share of one kind of tokens in both kinds together."""
    both = own.sum(1) + rest.sum(1)
    value = float(own.sum() / both.sum()) if both.any() else float("nan")

    def interval(draws: Float[np.ndarray, " resample"]) -> tuple[float, float]:
        return share_interval(value, int(both.sum()), int((both > 0).sum()), float(draws.var()))

    return _estimate(_share, seeds, own, rest, interval=interval)


def share_interval(share: float, tokens: int, documents: int, variance: float) -> tuple[float, float]:
    """The 95 % interval of Clopper and Pearson for as many independent tokens as the tokens are worth.

    A share of 0 or 1 has no variance from which this number could be told; then it is that of the documents.

    >>> [round(end, 3) for end in share_interval(1.0, 20, 5, 0.0)]  # 20 of 20 tokens, but in 5 documents only
    [0.478, 1.0]
    >>> [round(end, 3) for end in share_interval(0.75, 40, 10, 0.1**2)]  # worth 0.75 · 0.25 / 0.1² = 18.75 tokens
    [0.5, 0.917]

    Args:
        share: what was found.
        tokens: in how many tokens.
        documents: how many documents have such tokens.
        variance: of the share, over resamples of documents.
    """
    spread = share * (1 - share)
    if not spread:
        worth = float(documents)
    else:
        worth = min(float(tokens), spread / variance) if variance else float(tokens)
    yes = share * worth
    low = float(beta.ppf(0.025, yes, worth - yes + 1)) if share > 0 else 0.0
    high = float(beta.ppf(0.975, yes + 1, worth - yes)) if share < 1 else 1.0
    return low, high


def _percentiles(draws: Float[np.ndarray, " resample"]) -> tuple[float, float]:
    low, high = percentile_interval(draws).tolist()
    return low, high


def _estimate(
    statistic: Callable[..., Float[np.ndarray, " resample"]],
    seeds: Sequence[int],
    *tables: Float[np.ndarray, "document _"],
    interval: Callable[[Float[np.ndarray, " resample"]], tuple[float, float]] = _percentiles,
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
            ends.append(interval(finite))
    if not ends:
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, min(low for low, _ in ends), max(high for _, high in ends))
