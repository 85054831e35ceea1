"""Say how an answer differs from the expected one: type, shape, dtype and device first, then values.

A difference that has a simple cause is named: the wrong sign, a constant factor, transposed axes, shifted by one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
LARGEST_TO_PERMUTE = 5
"""Tensors with more axes are not tried in every order of their axes."""


def describe(value: Any) -> str:
    """A value in a few words, with its shape.

    >>> describe(torch.zeros(2, 3)), describe([1, 2]), describe(0.5)
    ('float32[2, 3]', 'list of 2', '0.5')
    """
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"numpy {value.dtype}{list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, bool | int | str):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def difference(
    got: Any, wanted: Any, rtol: float, atol: float, what: str = "the result", names: Sequence[str] = ()
) -> str:
    """How `got` differs from `wanted`, in a sentence; empty if it does not.

    Args:
        rtol: relative tolerance of floating-point numbers.
        atol: absolute tolerance.
        what: what is compared, as the sentence begins.
        names: what the values of a tuple or list are called, such as "the eigenvalue".
    """
    if got is None and wanted is not None:
        return (
            f"{what}: nothing (None) was returned. Does every path through your function end with `return`?"
        )
    if isinstance(wanted, Tensor):
        return _tensor_difference(got, wanted, rtol, atol, what)
    if isinstance(wanted, tuple | list):
        if not isinstance(got, tuple | list):
            kind = f"a {type(wanted).__name__} of {len(wanted)} values"
            return f"{what}: {describe(got)} was returned; {kind} is expected."
        if len(got) != len(wanted):
            return f"{what}: {len(got)} values were returned; {len(wanted)} are expected."
        parts = (
            difference(one, other, rtol, atol, names[place] if names else nth_value(place, what))
            for place, (one, other) in enumerate(zip(got, wanted, strict=True))
        )
        return next(filter(None, parts), "")
    if isinstance(wanted, Mapping):
        if not isinstance(got, Mapping):
            return f"{what}: {describe(got)} was returned; a dictionary is expected."
        if got.keys() != wanted.keys():
            return f"{what}: the keys are {sorted(got)}; {sorted(wanted)} are expected."
        parts = (difference(got[key], wanted[key], rtol, atol, f"{what}[{key!r}]") for key in wanted)
        return next(filter(None, parts), "")
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return "" if got == wanted else f"{what} is {describe(got)}; {describe(wanted)} is expected."
    number = _as_number(got)
    if number is None:
        return f"{what} is {describe(got)}; a number is expected."
    if math.isclose(number, wanted, rel_tol=rtol, abs_tol=atol):
        return ""
    return f"{what} is {number:.6g}; {wanted:.6g} is expected."


def _tensor_difference(got: Any, wanted: Tensor, rtol: float, atol: float, what: str) -> str:
    if not isinstance(got, Tensor):
        return f"{what}: {describe(got)} was returned; a tensor of shape {list(wanted.shape)} is expected."
    if got.shape != wanted.shape:
        return f"{what}: the shape is {list(got.shape)}; {list(wanted.shape)} is expected."
    if got.dtype != wanted.dtype:
        names = [str(tensor.dtype).removeprefix("torch.") for tensor in (got, wanted)]
        return f"{what}: the dtype is {names[0]}; {names[1]} is expected."
    if got.device != wanted.device:
        return f"{what}: the device is {got.device}; {wanted.device} is expected."
    one, other = got.detach(), wanted.detach()
    same = torch.isclose(one, other, rtol=rtol, atol=atol, equal_nan=True)
    if bool(same.all()):
        return ""
    if one.is_floating_point() and bool(one.isnan().any() & ~other.isnan().any()):
        return f"{what}: {int(one.isnan().sum())} of {one.numel()} numbers are NaN."
    gap = torch.where(same, 0, (one.double() - other.double()).abs())
    place = (
        [int(index) for index in np.unravel_index(int(gap.argmax()), tuple(one.shape))] if one.ndim else []
    )
    value, right = f"{one[tuple(place)].item():.6g}", f"{other[tuple(place)].item():.6g}"
    if not place:
        return f"{what} is {value}; {right} is expected."
    count, of = int((~same).sum()), one.numel()
    return (
        f"{what}: {count} of {of} values differ, most of all {value} at {place}, where {right} is expected."
    )


def nth_value(place: int, what: str) -> str:
    """A value of a tuple or list without a name of its own.

    >>> nth_value(0, "the list of frequencies")
    'the first value of the list of frequencies'
    """
    if place < len(ORDINALS):
        return f"the {ORDINALS[place]} value of {what}"
    return f"value {place + 1} of {what}"


def is_same(got: Any, wanted: Any, rtol: float, atol: float) -> bool:
    """Whether two answers are equal within tolerances, in shape and kind as well."""
    return not difference(got, wanted, rtol, atol)


def simple_cause(got: Any, wanted: Any, rtol: float, atol: float) -> str:
    """The name of a simple change that turns the expected answer into this one; empty if there is none."""
    if isinstance(wanted, tuple | list) and isinstance(got, tuple | list):
        return _cause_among_several(got, wanted, rtol, atol)
    if not (isinstance(got, Tensor) and isinstance(wanted, Tensor)):
        return _number_cause(_as_number(got), _as_number(wanted), rtol, atol)
    if got.dtype != wanted.dtype or got.device != wanted.device or not wanted.is_floating_point():
        return ""
    got, wanted = got.detach(), wanted.detach()
    if not bool(got.isfinite().all()):
        return ""
    if order := _permutation(got, wanted, rtol, atol):
        axes = " and ".join(str(axis) for axis, source in enumerate(order) if axis != source)
        return f"The values are right, but axes {axes} are exchanged."
    if got.shape != wanted.shape:
        return _shape_cause(got, wanted, rtol, atol)
    if torch.allclose(got, -wanted, rtol, atol):
        return "Every value has the wrong sign."
    if factor := _constant(got, wanted, torch.div, rtol, atol):
        return f"Every value is {factor:.4g} times what it should be: is a factor missing, or one too many?"
    if shift := _constant(got, wanted, torch.sub, rtol, atol):
        return f"Every value is {abs(shift):.4g} too {'large' if shift > 0 else 'small'}."
    for axis in range(wanted.ndim):
        for step in (1, -1):
            if wanted.shape[axis] > 2 and torch.allclose(got, wanted.roll(step, axis), rtol, atol):
                return f"The values are right, but shifted by one along axis {axis}."
    return ""


def _cause_among_several(got: Sequence[Any], wanted: Sequence[Any], rtol: float, atol: float) -> str:
    """The cause if only the order of several values is wrong, or if one simple change explains the first wrong one."""
    if len(got) != len(wanted) or len(wanted) > LARGEST_TO_PERMUTE:
        return ""
    for order in itertools.permutations(range(len(wanted))):
        if list(order) != sorted(order) and all(
            is_same(got[place], wanted[source], rtol, atol) for place, source in enumerate(order)
        ):
            return "Each value is right, but they are in another order than the exercise asks for."
    pairs = zip(got, wanted, strict=True)
    return next((simple_cause(*pair, rtol, atol) for pair in pairs if not is_same(*pair, rtol, atol)), "")


def _permutation(got: Tensor, wanted: Tensor, rtol: float, atol: float) -> Sequence[int]:
    if not 2 <= wanted.ndim <= LARGEST_TO_PERMUTE or got.ndim != wanted.ndim:
        return ()
    for order in itertools.permutations(range(wanted.ndim)):
        if list(order) == sorted(order):
            continue
        turned = wanted.permute(order)
        if turned.shape == got.shape and torch.allclose(got, turned, rtol, atol):
            return order
    return ()


def _shape_cause(got: Tensor, wanted: Tensor, rtol: float, atol: float) -> str:
    """The cause if a value is missing at an end, or if there is one for every pair of indices instead of each index."""
    axes = [
        axis
        for axis in range(wanted.ndim)
        if got.ndim == wanted.ndim and got.shape[axis] != wanted.shape[axis]
    ]
    if len(axes) == 1 and got.shape[axes[0]] == wanted.shape[axes[0]] - 1 > 0:
        for start, which in ((0, "last"), (1, "first")):
            if torch.allclose(got, wanted.narrow(axes[0], start, got.shape[axes[0]]), rtol, atol):
                return f"The values are right, but the {which} one along axis {axes[0]} is missing."
    n = wanted.shape[0] if wanted.ndim else 0
    if (
        n > 1
        and got.shape == (n, *wanted.shape)
        and torch.allclose(got.diagonal().movedim(-1, 0), wanted, rtol, atol)
    ):
        return (
            "The right values are on the diagonal; the rest pairs each index with every other. To take one value per "
            f"row, index with torch.arange({n}) as well."
        )
    return ""


def _constant(got: Tensor, wanted: Tensor, operation: Any, rtol: float, atol: float) -> float:
    """The one number that `operation(got, wanted)` gives everywhere; 0 if it does not, or if there is little to see."""
    known = wanted.abs() > 1e-3 if operation is torch.div else torch.ones_like(wanted, dtype=torch.bool)
    if int(known.sum()) < 3:
        return 0.0
    value = operation(got[known], wanted[known]).median()
    expected = wanted * value if operation is torch.div else wanted + value
    return float(value) if torch.allclose(got, expected, rtol, atol) else 0.0


def _number_cause(got: float | None, wanted: float | None, rtol: float, atol: float) -> str:
    if got is None or wanted is None or not math.isfinite(got) or abs(wanted) <= atol:
        return ""
    return "The sign is wrong." if math.isclose(got, -wanted, rel_tol=rtol, abs_tol=atol) else ""


def _as_number(value: Any) -> float | None:
    """A number, or an array or tensor that holds just one, as a float; None for everything else."""
    if isinstance(value, Tensor):
        value = value.detach()
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.item() if value.ndim == 0 else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
