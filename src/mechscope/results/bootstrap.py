"""Bootstrap intervals: how much a statistic varies when the examples are redrawn with replacement.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 6 and 13 (percentile intervals).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bootstrap_distribution(
    samples: Sequence[NDArray[Any]],
    statistic: Callable[..., Floats],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """A statistic of each resample [... resample].

    All samples are redrawn together, so that values of one example stay together.

    Args:
        samples: arrays whose last axis is the example, all of the same length.
        statistic: takes the redrawn samples [... resample example], and returns values [... resample].
        resamples: how many times to redraw.
        rng: the source of random numbers.

    Raises:
        ValueError: for samples without examples, or of different lengths.

    >>> draws = bootstrap_distribution(
    ...     [np.arange(10.0)], lambda rows: rows.mean(-1), resamples=1000, rng=np.random.default_rng(0)
    ... )
    >>> [round(float(end), 1) for end in percentile_interval(draws)]
    [2.7, 6.4]
    """
    lengths = {sample.shape[-1] for sample in samples}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"a bootstrap needs samples of the same number of examples, at least 1, not {sorted(lengths)}."
        )
    if lengths == {1}:  # every resample is the one example, which scipy refuses
        rows = np.zeros((resamples, 1), dtype=int)
        return statistic(*(sample[..., rows] for sample in samples))
    # Imported here: scipy's statistics take a second to load.
    from scipy.stats import DegenerateDataWarning, bootstrap

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # Resamples without a finite value are for the caller to drop.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found: Any = bootstrap(
            samples,
            lambda *redrawn, axis: statistic(*redrawn),
            n_resamples=resamples,
            paired=True,
            vectorized=True,
            axis=-1,
            method="percentile",
            rng=rng,
        )
    return found.bootstrap_distribution


def percentile_interval(draws: Floats, level: float = 0.95, axis: int = -1) -> Floats:
    """The ends of the middle `level` of the draws along an axis: [2 ...].

    >>> percentile_interval(np.arange(101.0), level=0.9).round(6).tolist()
    [5.0, 95.0]
    """
    return np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=axis)
