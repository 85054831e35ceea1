"""Choose the k features that distinguish two classes best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.results.arrays import as_array

Array = NDArray[Any]


def as_examples(features: Any, labels: Any, what: str = "features") -> tuple[Array, Array]:
    """Features [example feature] and labels of two classes as 0 and 1 [example], as arrays.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or labels that do not have two classes.
    """
    values = _array(features).astype(np.float64)
    classes = _array(labels)
    if values.ndim != 2 or classes.shape != (len(values),):
        raise ValueError(
            f"{what} must be [example feature] and labels [example]; got shapes {values.shape} and {classes.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"some {what} are not finite.")
    names, numbers = np.unique(classes, return_inverse=True)
    if len(names) != 2:
        raise ValueError(f"labels must have two classes, not {len(names)}: {names[:5].tolist()}.")
    return values, numbers


def most_telling(features: Array, labels: Array, k: int) -> tuple[int, ...]:
    """The k features with the largest difference of class means, in descending order (Gurnee et al. 2023)."""
    apart = np.abs(features[labels == 1].mean(0) - features[labels == 0].mean(0))
    # A stable sort: of equal features, the first comes first.
    return tuple(int(index) for index in np.argsort(-apart, kind="stable")[:k])


def check_ks(ks: Sequence[int], features: int) -> tuple[int, ...]:
    """The ks in ascending order.

    Raises:
        ValueError: for an empty list, a k below 1, or one above the number of features.
    """
    if not ks or min(ks) < 1 or max(ks) > features:
        raise ValueError(f"ks must be one or more numbers of features from 1 to {features}, not {tuple(ks)}.")
    return tuple(sorted(set(ks)))


def _array(values: Any) -> Array:
    return as_array(values)
