"""Sparse probing: how well k features predict a label, compared with a dense probe on the activations themselves.

The dense probe is the right baseline: a dictionary only loses information, but a good one concentrates it in few
features. Sources: Gurnee et al. 2023, "Finding Neurons in a Haystack"; Karvonen et al. 2025, "SAEBench".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation.k_sparse import as_examples, check_ks, most_telling
from mechscope.linear_probes import fit_probe, splits


@dataclass(frozen=True)
class SparseProbing:
    """Held-out scores, averaged over the splits."""

    ks: tuple[int, ...]
    """The number of features of each sparse probe."""
    scores: tuple[float, ...]
    """Score of a probe on the best k features, chosen on the training set, for each k."""
    lowest: tuple[float, ...]
    """The same in the worst split."""
    highest: tuple[float, ...]
    """The same in the best split."""
    dense: float
    """Score of a probe on the activations."""
    every_feature: float
    """Score of a probe on all features."""
    chance: float
    """Score of always predicting the more frequent class (accuracy), or 0.5 (AUROC)."""
    chosen: tuple[int, ...]
    """The features of the largest probe in the first split, best first."""
    metric: Literal["accuracy", "auroc"]
    """Name of the score."""

    def figure(self) -> Any:
        """Scores by k, with lines for the dense probe and for chance."""
        from mechscope.viz.curves import Marker, curves

        return curves(
            np.array(self.ks),
            {
                "k features": np.array(self.scores),
                "worst split": np.array(self.lowest),
                "best split": np.array(self.highest),
            },
            title=f"Held-out {self.metric} of sparse probes",
            x_title="features in the probe",
            y_title=self.metric,
            markers=[
                Marker(self.dense, "dense probe on activations", axis="y"),
                Marker(self.chance, "chance", axis="y"),
            ],
            points=True,
        )


@checked_arguments
def sparse_probing(
    features: Any,
    activations: Any,
    labels: Any,
    *,
    ks: Sequence[int] = (1, 2, 5, 10),
    metric: Literal["accuracy", "auroc"] = "accuracy",
    groups: Any = None,
    strength: float = 1.0,
    test_share: float = 0.25,
    seeds: Sequence[int] = (0, 1, 2),
) -> SparseProbing:
    """Probe for a label with two classes, with the k most predictive features and with the activations.

    Args:
        features: [example feature].
        activations: the activations that the features were encoded from [example d_in].
        labels: labels of two classes [example].
        groups: examples of the same group [example] are never on both sides of a split.
        strength: weight of the L2 penalty on standardised inputs.
        seeds: one split per seed.

    Raises:
        ValueError: for shapes that do not fit, labels that do not have two classes, or too few examples of a class.
    """
    values, target = as_examples(features, labels)
    dense, _ = as_examples(activations, labels, "activations")
    numbers = check_ks(ks, values.shape[1])
    if not seeds:
        raise ValueError("give at least one seed for the splits.")
    grouped = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    found = np.zeros((len(seeds), len(numbers)))
    wholes = np.zeros((len(seeds), 2))
    chances: list[float] = []
    chosen: tuple[int, ...] = ()
    divided = splits(target, grouped, "classification", test_share, tuple(seeds))
    for turn, (train, test) in enumerate(divided):
        order = most_telling(values[train], target[train], numbers[-1])
        chosen = order if turn == 0 else chosen
        for column, k in enumerate(numbers):
            picked = values[:, order[:k]]
            found[turn, column] = fit_probe(
                picked, target, train, test, "classification", metric, strength
            ).score
        for column, inputs in enumerate((dense, values)):
            wholes[turn, column] = fit_probe(
                inputs, target, train, test, "classification", metric, strength
            ).score
        commonest = np.bincount(target[train]).argmax()
        chances.append(float(np.mean(target[test] == commonest)) if metric == "accuracy" else 0.5)
    return SparseProbing(
        ks=numbers,
        scores=tuple(found.mean(0).tolist()),
        lowest=tuple(found.min(0).tolist()),
        highest=tuple(found.max(0).tolist()),
        dense=float(wholes[:, 0].mean()),
        every_feature=float(wholes[:, 1].mean()),
        chance=float(np.mean(chances)),
        chosen=chosen,
        metric=metric,
    )
