"""Feature splitting: is one concept represented by several features?

A concept is split over k features if a further feature no longer improves a probe on k of them. Source: Chanin et al.
2024, "A is for Absorption", section on feature splitting (F1 must rise by more than 0.03). Here, features are chosen by
the difference of class means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation.k_sparse import Array, as_examples, check_ks, most_telling
from mechscope.linear_probes import splits


@dataclass(frozen=True)
class Splitting:
    """The number of features that represent one concept."""

    f1: tuple[float, ...]
    """Held-out F1 of a probe on the best 1, 2, … features, averaged over the splits."""
    least_gain: float
    """The rise in F1 that a further feature must exceed to count."""
    chosen: tuple[int, ...]
    """Features in the order in which they were added, in the first split."""

    @property
    def features(self) -> int:
        """The number of features over which the concept is split: the last one that still raised F1 enough."""
        gains = np.diff(self.f1)
        helped = np.flatnonzero(gains > self.least_gain)
        return 1 if not len(helped) else int(helped[-1]) + 2

    @property
    def main(self) -> tuple[int, ...]:
        """The features over which the concept is split."""
        return self.chosen[: self.features]


@checked_arguments
def splitting(
    features: Any,
    labels: Any,
    *,
    most: int = 10,
    least_gain: float = 0.03,
    groups: Any = None,
    test_share: float = 0.25,
    seeds: Sequence[int] = (0, 1, 2),
) -> Splitting:
    """The number of features over which a label with two classes is split.

    Args:
        features: [example feature].
        labels: labels of two classes [example]; F1 refers to the second one (True, 1, …).
        most: the largest number of features to try.

    Raises:
        ValueError: for shapes that do not fit, labels that do not have two classes, or too few examples of a class.
    """
    values, target = as_examples(features, labels)
    (most,) = check_ks([most], values.shape[1])
    grouped = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    scores: list[list[float]] = []
    chosen: tuple[int, ...] = ()
    for train, test in splits(target, grouped, "classification", test_share, tuple(seeds)):
        order = most_telling(values[train], target[train], most)
        chosen = chosen or order
        scores.append([_f1(values[:, order[:k]], target, train, test) for k in range(1, most + 1)])
    return Splitting(tuple(np.mean(scores, axis=0).tolist()), least_gain, chosen)


def _f1(values: Array, target: Array, train: Array, test: Array) -> float:
    probe: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    probe.fit(values[train], target[train])
    return float(f1_score(target[test], probe.predict(values[test]), zero_division=0.0))  # pyright: ignore[reportArgumentType]
