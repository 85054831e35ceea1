"""A result: one labelled array, what it means, its unit, and where it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mechscope.results.arrays import as_array
from mechscope.results.dims import LABELS, check_dims
from mechscope.results.provenance import Provenance
from mechscope.results.showing import render

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """A labelled array with its title, unit and provenance.

    Make one with `make_result`, and index it by name, never by axis number:

    >>> scores = make_result([[0.1, 0.9], [0.2, 0.3]], dims=("layer", "head"), title="prefix score",
    ...                      unit="probability", provenance=Provenance("toy", "induction", seed=0))
    >>> float(scores.values.sel(layer=0).max())
    0.9

    Raises:
        ValueError: if a dimension is outside the vocabulary or has no coordinate.
    """

    values: xr.DataArray
    """The numbers, with dims from `mechscope.results.DIMS` and a coordinate for each; entries may have further
    coordinates, from `mechscope.results.LABELS`, such as their tokens."""
    title: str
    """What the numbers are, as a short title."""
    unit: str
    """Unit of the values: nats, logits, probability, accuracy, …; "1" for a pure number."""
    provenance: Provenance
    """Model, task, seed and versions."""
    kind: str = ""
    """How to draw it if the dims leave a choice: "", "curves", "bars", "ranked", "heatmap", "panels", "tokens",
    "images", "spectrum"."""

    def __post_init__(self) -> None:
        dims = check_dims(self.values.dims)
        for dim in dims:
            if dim not in self.values.coords:
                raise ValueError(
                    f"dimension {dim!r} of {self.title!r} has no coordinate; give coords={{{dim!r}: …}}."
                )

    def show(self) -> Any:
        """Draw the result and display it; returns the figure."""
        figure = render(self)
        figure.show()
        return figure

    def figure(self) -> Any:
        """The figure of the result, not displayed.

        >>> result = make_result([[0.1, 0.9]], ("layer", "head"), "prefix score", "1", Provenance("toy", "induction"))
        >>> result.figure().data[0].type
        'heatmap'
        """
        return render(self)

    def save(self, path: str | Path) -> Path:
        """Write the result to one file (see `save_result`)."""
        from mechscope.results.saving import save_result

        return save_result(self, path)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per number, with a column for each dim and one called "value".

        >>> result = make_result([0.5, 0.7], ("layer",), "accuracy", "accuracy", Provenance("toy", "parity"))
        >>> result.to_dataframe().columns.tolist()
        ['layer', 'value']
        """
        return self.values.to_dataframe("value").reset_index()

    def replace(self, **changes: Any) -> Result:
        """The same result with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        shape = ", ".join(f"{dim} {size}" for dim, size in self.values.sizes.items()) or "one number"
        return f"<{self.title} [{self.unit}]: {shape}; {self.provenance}>"


def make_result(
    values: Any,
    dims: Sequence[str],
    title: str,
    unit: str,
    provenance: Provenance,
    coords: Mapping[str, Any] | None = None,
    kind: str = "",
    labels: Mapping[str, tuple[Sequence[str], Any]] | None = None,
) -> Result:
    """Make a result from anything array-like, including tensors; missing coordinates count from 0.

    Args:
        values: the numbers.
        dims: a name from `mechscope.results.DIMS` for each axis.
        title: what the numbers are.
        unit: the unit of the values.
        provenance: where they came from.
        coords: labels of the entries along each dim.
        kind: how to draw it if the dims leave a choice.
        labels: further coordinates by name (see `mechscope.results.LABELS`), each with its dims and values. They
            become columns of `to_dataframe`.

    Raises:
        ValueError: if the dims do not fit the array's axes, a coordinate's length its axis, or a label the dims.

    >>> top = make_result([2.5, 0.1], ("rank",), "top tokens", "logits", Provenance("toy", "text"),
    ...                   labels={"token": (("rank",), ["␣cat", "␣dog"])})
    >>> top.to_dataframe()["token"].tolist()
    ['␣cat', '␣dog']
    """
    array = as_array(values)
    names = check_dims(dims)
    if array.ndim != len(names):
        raise ValueError(
            f"{title!r} has shape {array.shape} but {len(names)} dims {names}; give one name per axis."
        )
    given = dict(coords or {})
    known: dict[str, Any] = {}
    for name, size in zip(names, array.shape, strict=True):
        known[name] = np.asarray(given.pop(name, np.arange(size)))
        if known[name].shape != (size,):
            raise ValueError(
                f"coordinate {name!r} of {title!r} has shape {known[name].shape}; the axis has {size} entries."
            )
    if given:
        raise ValueError(
            f"coords {sorted(given)} of {title!r} are not dimensions of it; its dims are {names}."
        )
    sizes = dict(zip(names, array.shape, strict=True))
    for name, (along, entries) in (labels or {}).items():
        known[name] = (tuple(along), _label(name, tuple(along), entries, sizes, title))
    return Result(xr.DataArray(array, dims=names, coords=known), title, unit, provenance, kind)


def _label(name: str, dims: tuple[str, ...], entries: Any, sizes: Mapping[str, int], title: str) -> Any:
    """The values of a further coordinate as an array, checked against the dims."""
    if name not in LABELS:
        raise ValueError(f"{name!r} is not a label that results use; the labels are: {', '.join(LABELS)}.")
    if not dims or any(dim not in sizes for dim in dims):
        raise ValueError(f"label {name!r} of {title!r} has dims {dims}; the result's are {tuple(sizes)}.")
    values = as_array(entries)
    expected = tuple(sizes[dim] for dim in dims)
    if values.shape != expected:
        raise ValueError(f"label {name!r} of {title!r} has shape {values.shape}; its dims have {expected}.")
    # Text as objects: an array of fixed-width strings would take the longest token's width for every entry.
    return values.astype(object) if values.dtype.kind == "U" else values
