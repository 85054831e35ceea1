"""Check values that come from files, or from a caller's settings, against the annotations of a dataclass."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from mechscope.arguments._annotations import choices_of
from mechscope.arguments._numbers import NUMBER_WORDS, is_number
from mechscope.arguments._shown import shown


def not_of_kind(value: object, hint: Any, *, finite: bool = True) -> str | None:
    """What a value should have been, in words; None if it fits the annotation.

    A whole number is accepted as a float, a list as a tuple, and NumPy's numbers as Python's; True is not a number.
    Classes and literals are not checked.

    >>> not_of_kind("2", int | None), not_of_kind(float("inf"), float), not_of_kind([1, 2], tuple[int, ...])
    ('a whole number', 'a finite number', None)

    Args:
        value: the value to check.
        hint: an annotation, as `typing.get_type_hints` returns it.
        finite: refuse infinity and NaN.
    """
    choices = choices_of(hint)
    if value is None and type(None) in choices:
        return None
    problems = [_problem(value, choice, finite) for choice in choices if choice is not type(None)]
    return None if None in problems or not problems else problems[0]


def check_kinds(kind: type, values: Mapping[str, Any], *, finite: bool = True) -> None:
    """Check values by name against the annotations of a dataclass.

    Raises:
        ValueError: naming the first value of the wrong kind.
    """
    for name, hint in hints_of(kind).items():
        if name in values and (words := not_of_kind(values[name], hint, finite=finite)) is not None:
            raise ValueError(f"{name} must be {words}, not {shown(values[name])}.")


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in names}


def _problem(value: Any, kind: Any, finite: bool) -> str | None:
    origin = typing.get_origin(kind) or kind
    inside = typing.get_args(kind)
    if kind is bool:
        return None if isinstance(value, bool) else NUMBER_WORDS[bool]
    if kind is int:
        return None if is_number(value, int) else NUMBER_WORDS[int]
    if kind is float:
        fits = is_number(value, float) and not (finite and not _is_finite(value))
        return None if fits else "a finite number" if finite else NUMBER_WORDS[float]
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
