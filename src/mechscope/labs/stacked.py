"""The numbers behind a figure: one row with a name for each number, or several series of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mechscope.results import Provenance, Result, make_result
from mechscope.results.arrays import as_array


def stacked_result(
    series: Mapping[str, Any],
    dims: Sequence[str],
    title: str,
    unit: str,
    provenance: Provenance,
    coords: Mapping[str, Any] | None = None,
    kind: str = "",
) -> Result:
    """A result whose first axis is labelled with the names of the series.

    Args:
        series: name → values; all of the same shape.
        dims: names of the axes; the first is that of the series.
        coords: coordinates of the other axes (see `make_result`).
        kind: how to draw it (see `Result.kind`).

    Raises:
        ValueError: for series of different shapes, or as `make_result`.

    >>> made_by = Provenance("a model", "prompts", 0)
    >>> stacked_result({"one": [1, 2], "two": [3, 4]}, ("series", "step"), "A title", "nats", made_by).values.shape
    (2, 2)
    """
    values = np.stack([as_array(value) for value in series.values()])
    return make_result(values, dims, title, unit, provenance, {dims[0]: list(series), **(coords or {})}, kind)


def named_result(
    values: Mapping[str, float],
    title: str,
    unit: str,
    provenance: Provenance,
    *,
    dim: str = "label",
    kind: str = "",
) -> Result:
    """A result of one number per name.

    Args:
        dim: name of its only axis.
        kind: how to draw it (see `Result.kind`); bars if it is not given.

    >>> made_by = Provenance("a model", "prompts", 0)
    >>> float(named_result({"one": 1.5, "two": 2.5}, "A title", "nats", made_by).values.sel(label="two"))
    2.5
    """
    numbers = [float(value) for value in values.values()]
    return make_result(numbers, (dim,), title, unit, provenance, {dim: list(values)}, kind)
