"""Convert token ids of any kind to tensors: integers, nested lists, arrays and tensors."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import torch


def is_text(value: Any) -> bool:
    """Whether a value is a text, or a list or tuple that contains one; other lists hold token ids."""
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and any(isinstance(part, str) for part in value)
    )


def is_token_id(value: Any) -> bool:
    """Whether a value is one whole number: an int, a NumPy integer, or a 0-dimensional tensor or array of integers.

    True and False are not.
    """
    if isinstance(value, (bool, np.bool_, str)):
        return False
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and _holds_integers(value)
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and np.issubdtype(value.dtype, np.integer)
    return hasattr(value, "__index__")


def token_id(value: Any, what: str = "a token id") -> int:
    """One token id as an int.

    Raises:
        TypeError: for anything that is not one whole number.
        ValueError: for a negative number.
    """
    if not is_token_id(value):
        shown = f"{value!r:.60}" if isinstance(value, (bool, str, float)) else _kind(value)
        raise TypeError(f"{what} is one whole number, not {shown}.")
    found = int(value) if isinstance(value, (torch.Tensor, np.ndarray)) else operator.index(value)
    if found < 0:
        raise ValueError(f"{what} cannot be negative, but {found} is.")
    return found


def token_ids(values: Any, what: str = "token ids", *, negative: bool = False) -> torch.Tensor:
    """Token ids as an integer tensor (int64) of the same shape.

    Accepts integers of any kind and width, tensors, arrays, and lists, tuples and ranges of them, nested to any depth.
    A tensor stays on its device.

    >>> token_ids([(1, 2), (3, 4)]).shape
    torch.Size([2, 2])

    Args:
        values: the ids.
        what: their name in errors.
        negative: allow negative numbers, such as -1 for filling.

    Raises:
        TypeError: for truth values, floating-point numbers, text, or anything else that is not a whole number.
        ValueError: for rows of different lengths, or a negative id.
    """
    ids = _as_tensor(values, what)
    if not negative and bool((ids < 0).any()):
        raise ValueError(f"{what} cannot be negative, but {int(ids.min())} is.")
    return ids


def _as_tensor(values: Any, what: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        if not _holds_integers(values) and values.numel():
            raise TypeError(f"{what} are whole numbers, not a tensor of {values.dtype}.")
        return values if values.dtype == torch.int64 else values.to(torch.int64)
    if isinstance(values, np.ndarray) and values.dtype != object:
        if not np.issubdtype(values.dtype, np.integer) and values.size:
            raise TypeError(f"{what} are whole numbers, not an array of {values.dtype}.")
        return torch.from_numpy(values.astype(np.int64))
    if is_token_id(values):
        return torch.tensor(operator.index(values))
    if isinstance(values, (str, bytes, bool, np.bool_)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} are whole numbers, not {values!r:.60}.")
    if isinstance(values, (Set, Mapping)):
        raise TypeError(f"{what} need an order, which a {type(values).__name__} does not have: give a list.")
    listed = list(values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if all(type(value) is int for value in listed):  # pyright: ignore[reportUnknownVariableType]
        return torch.tensor(listed, dtype=torch.int64)
    rows = [_as_tensor(value, what) for value in listed]  # pyright: ignore[reportUnknownVariableType]
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        lengths = ", ".join(str(list(shape)) for shape in sorted(shapes)[:4])
        raise ValueError(
            f"{what} have rows of different shapes ({lengths}): pad them to the same length, or pass one row at a "
            "time."
        )
    return torch.stack(rows)


def _holds_integers(values: torch.Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is None:
        return f"a {type(value).__name__}"
    return f"a {type(value).__name__} of {value.dtype} with shape {list(shape)}"
