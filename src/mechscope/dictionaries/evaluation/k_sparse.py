"""Which k features tell two classes apart best, and a probe on them alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.results.arrays import as_array

Array = NDArray[Any]


def as_examples(features: Any, labels: Any, what: str = "features") -> tuple[Array, Array]:
    """Features [example feature] and two-class labels (0 or 1) [example] as arrays.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or labels that are not two classes.
    """
    values = _array(features).astype(np.float64)
    classes = _array(labels)
    if values.ndim != 2 or classes.shape != (len(values),):
        raise ValueError(
            f"{what} are [example feature] and labels [example]; got shapes {values.shape} and {classes.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"some {what} are not finite.")
    names, numbers = np.unique(classes, return_inverse=True)
    if len(names) != 2:
        raise ValueError(f"labels must be of two classes, not {len(names)}: {names[:5].tolist()}.")
    return values, numbers


def most_telling(features: Array, labels: Array, k: int) -> tuple[int, ...]:
    """The k features whose means differ most between the classes, best first (Gurnee et al. 2023)."""
    apart = np.abs(features[labels == 1].mean(0) - features[labels == 0].mean(0))
    # Stable: of equal features the first.
    return tuple(int(index) for index in np.argsort(-apart, kind="stable")[:k])


def check_ks(ks: Sequence[int], features: int) -> tuple[int, ...]:
    """The ks, ascending.

    Raises:
        ValueError: for none, one below 1, or one above the number of features.
    """
    if not ks or min(ks) < 1 or max(ks) > features:
        raise ValueError(f"ks are numbers of features from 1 to {features}, at least one; not {tuple(ks)}.")
    return tuple(sorted(set(ks)))


def _array(values: Any) -> Array:
    return as_array(values)
