"""Check the kinds of values that come from files, and show a value in an error.

`mechscope.arguments` checks the arguments of functions; what the two have in common is here.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

NUMBER_WORDS = {bool: "True or False", int: "a whole number", float: "a number"}
"""How an error names what was expected."""


def not_of_kind(value: object, hint: Any, *, finite: bool = True) -> str | None:
    """What a value should have been, in words; None if it fits the annotation.

    A whole number is accepted as a float, a list as a tuple, and NumPy's numbers as Python's; True is not a number.
    Classes and literals are not checked.

    >>> not_of_kind("2", int | None), not_of_kind(float("inf"), float), not_of_kind([1, 2], tuple[int, ...])
    ('a whole number', 'a finite number', None)

    Args:
        hint: an annotation, as `typing.get_type_hints` gives it.
        finite: refuse infinity and NaN.
    """
    choices = _choices(hint)
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


def one_line(text: str) -> str:
    r"""Text with its line breaks, tabs and other control characters as Python writes them.

    >>> print(one_line("a\nb\t"))
    a\nb\t
    """
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
    )


def visible(text: str) -> str:
    r"""A token without the spaces around it, with line breaks as \n; quoted if nothing else would be seen.

    >>> print(visible(" cat"), visible("  "), visible("a\n"), visible("\n"))
    cat '  ' a\n '\n'
    """
    seen = text.strip(" ")
    return one_line(seen) if any(one.isprintable() and not one.isspace() for one in seen) else repr(text)


def shown(value: Any) -> str:
    """A value as an error shows it: numbers, text and lists as they are but cut to 80 characters, others by their kind.

    >>> shown(2.5), shown([1, 2, 3]), shown(object), shown("a" * 200)[-3:]
    ('2.5', '[1, 2, 3]', 'the class object', 'aa…')
    """
    if is_array(value):
        return f"a {type(value).__name__} of {value.dtype} {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    name = type(value).__name__
    kind = f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
    if value is not None and not isinstance(value, (numbers.Number, str, bytes, list, tuple, set, dict)):
        return kind
    try:
        text = " ".join(repr(value).split())  # a list of arrays is otherwise shown on several lines
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return kind
    return text if len(text) <= 80 else text[:77] + "…"


def is_number(value: Any, kind: type) -> bool:
    """Whether a value is a number that will do for `kind` (int or float); True and False are not numbers."""
    wanted = numbers.Integral if kind is int else numbers.Real
    return isinstance(value, wanted) and not isinstance(value, bool)


def is_array(value: Any) -> bool:
    """Whether a value is a tensor or an array, found by name so that torch need not be imported."""
    return any(base.__name__ in ("Tensor", "ndarray") for base in type(value).__mro__)


def first_line(error: BaseException) -> str:
    """The first line of another library's error, cut to 200 characters."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


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


def _choices(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in typing.get_args(hint) for choice in _choices(part))
    return (hint,)
