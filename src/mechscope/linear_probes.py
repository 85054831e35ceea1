"""Fit and score one linear probe, and make random labels for its control."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Kind = Literal["classification", "regression", "mean difference"]
Metric = Literal["accuracy", "auroc", "r2"]
KINDS: tuple[Kind, ...] = ("classification", "regression", "mean difference")
METRICS_OF: dict[Kind, tuple[Metric, ...]] = {
    "classification": ("accuracy", "auroc"),
    "regression": ("r2",),
    "mean difference": ("accuracy", "auroc"),
}
WORDS: dict[Metric, tuple[str, str]] = {
    "accuracy": ("accuracy", "accuracy"),
    "auroc": ("area under the ROC curve", "AUROC"),
    "r2": ("explained variance", "R²"),
}

Array = NDArray[Any]


@dataclass(frozen=True)
class Fit:
    """A probe fitted on one training set."""

    score: float
    """The score on the held-out set."""
    weights: Array
    """Weights in the basis of the activations [class d_model]; one row for two classes and for regression."""
    converged: bool
    """Whether the optimiser converged."""


def fit_probe(
    features: Array, labels: Array, train: Array, test: Array, kind: Kind, metric: Metric, strength: float
) -> Fit:
    """Fit on the rows `train` and score on the rows `test`.

    Args:
        features: activations [example d_model].
        labels: class numbers from 0, or values [example].
        train: indices of the rows to fit.
        test: indices of the rows to score.
        kind: the kind of probe.
        metric: the score.
        strength: strength of the L2 penalty.
    """
    if kind == "mean difference":
        return _mean_difference(features, labels, train, test, metric)
    model = (
        Ridge(alpha=strength) if kind == "regression" else LogisticRegression(C=1 / strength, max_iter=2000)
    )
    pipeline: Any = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(features[train], labels[train])
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in caught)
    # Undo the scaling, so that the direction is in the basis of the activations.
    weights = np.atleast_2d(model.coef_) / pipeline[0].scale_
    if metric == "r2":
        score = r2_score(labels[test], pipeline.predict(features[test]))
    elif metric == "accuracy":
        score = np.mean(pipeline.predict(features[test]) == labels[test])
    else:
        score = roc_auc_score(labels[test], pipeline.decision_function(features[test]))
    return Fit(float(score), weights, converged)


def _mean_difference(features: Array, labels: Array, train: Array, test: Array, metric: Metric) -> Fit:
    """Project on the difference between the class means, with the threshold half-way: nothing is optimised."""
    means = [features[train][labels[train] == which].mean(0) for which in (0, 1)]
    weights = means[1] - means[0]
    scores = (features[test] - (means[0] + means[1]) / 2) @ weights
    if metric == "accuracy":
        score = np.mean((scores > 0) == (labels[test] == 1))
    else:
        score = roc_auc_score(labels[test], scores)
    return Fit(float(score), weights[None], True)


def splits(
    labels: Array, groups: Array | None, kind: Kind, test_share: float, seeds: tuple[int, ...]
) -> Iterator[tuple[Array, Array]]:
    """Yield training and held-out rows for each seed; groups stay together, or else classes keep their shares.

    Raises:
        ValueError: if a class is missing from the training or the held-out rows.
    """
    for seed in seeds:
        if groups is not None:
            # Whole groups cannot be stratified exactly, so the first draw with every class on both sides is used.
            splitter: Any = GroupShuffleSplit(20, test_size=test_share, random_state=seed)
        elif kind == "regression":
            splitter = ShuffleSplit(1, test_size=test_share, random_state=seed)
        else:
            splitter = StratifiedShuffleSplit(1, test_size=test_share, random_state=seed)
        classes = set() if kind == "regression" else set(labels.tolist())
        for train, test in splitter.split(np.zeros(len(labels)), labels, groups):
            if classes <= set(labels[train].tolist()) & set(labels[test].tolist()):
                yield train, test
                break
        else:
            raise ValueError(
                f"no split with seed {seed} has every class in both the training and the held-out set: one class has "
                "too few examples (or groups); give more, or change test_share."
            )


def control_labels(labels: Array, types: Array, seed: int) -> Array:
    """Random labels, one for each type, drawn from the distribution of the labels [example].

    A probe can only memorise these. Source: Hewitt and Liang 2019, "Designing and Interpreting Probes with Control
    Tasks". If there is only one type, every example counts as a type of its own.
    """
    generator = np.random.default_rng(seed)
    _, which = np.unique(types, return_inverse=True)
    if which.max() == 0:
        which = np.arange(len(labels))
    count = which.max() + 1
    drawn = generator.choice(labels, size=count)
    # If all types got the same label there would be nothing to learn, so one is changed.
    if len(np.unique(drawn)) == 1:
        others = labels[labels != drawn[0]]
        drawn[generator.integers(count)] = generator.choice(others)
    return drawn[which]
