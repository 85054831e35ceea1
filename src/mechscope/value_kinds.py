"""Whether a value is of the kind that an annotation announces: files and notebooks may hold anything."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, cast


def not_of_kind(value: object, hint: Any, *, finite: bool = True) -> str | None:
    """What a value should be, in words, where it is something else; None where it fits.

    A whole number will do for a float, a list for a tuple, and NumPy's numbers for Python's; True is no number.
    Annotations that are not listed here (classes, literals) are not checked.

    >>> not_of_kind("2", int | None), not_of_kind(float("inf"), float), not_of_kind([1, 2], tuple[int, ...])
    ('a whole number', 'a finite number', None)

    Args:
        hint: an annotation, as `typing.get_type_hints` gives it.
        finite: whether infinity and NaN are no numbers.
    """
    choices = _choices(hint)
    if value is None and type(None) in choices:
        return None
    problems = [_problem(value, choice, finite) for choice in choices if choice is not type(None)]
    return None if None in problems or not problems else problems[0]


def check_kinds(kind: type, values: Mapping[str, Any], *, finite: bool = True) -> None:
    """Check values by name against the annotations of a dataclass.

    Raises:
        ValueError: naming the first that is of another kind.
    """
    for name, hint in hints_of(kind).items():
        if name in values and (words := not_of_kind(values[name], hint, finite=finite)) is not None:
            raise ValueError(f"{name} must be {words}, not {shown(values[name])}.")


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in names}


def shown(value: object) -> str:
    """A value as an error shows it: cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line that is not too long for an error of ours."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _problem(value: Any, kind: Any, finite: bool) -> str | None:
    origin = typing.get_origin(kind) or kind
    inside = typing.get_args(kind)
    if kind is bool:
        return None if isinstance(value, bool) else "True or False"
    if kind is int:
        fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return None if fits else "a whole number"
    if kind is float:
        fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if fits and finite and not _is_finite(value):
            fits = False
        return None if fits else "a finite number" if finite else "a number"
    if kind is str:
        return None if isinstance(value, str) else "text"
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            return "a list"
        items = cast("list[Any]", value)
        if origin is list or inside[1:] == (...,):
            kinds = [inside[0] if inside else Any] * len(items)
        else:
            kinds = list(inside)
        if len(kinds) != len(items):
            return f"a list of {len(kinds)}"
        for item, each in zip(items, kinds, strict=True):
            if (words := not_of_kind(item, each, finite=finite)) is not None:
                return f"a list (each entry {words})"
        return None
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return "a table of names and values"
        if inside:
            for item in cast("Mapping[Any, Any]", value).values():
                if (words := not_of_kind(item, inside[1], finite=finite)) is not None:
                    return f"a table of names and values (each value {words})"
    return None


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _choices(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in typing.get_args(hint) for choice in _choices(part))
    return (hint,)
