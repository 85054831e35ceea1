"""Show values and text in one line of an error, a title or a table."""

from __future__ import annotations

import dataclasses
import numbers
import unicodedata
from typing import Any


def shown(value: Any) -> str:
    """A value as an error shows it: numbers, text and lists cut to 80 characters, anything else by its type.

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
        text = " ".join(repr(value).split())  # the repr of a list of arrays has several lines
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return kind
    return text if len(text) <= 80 else text[:77] + "…"


def one_line(text: str) -> str:
    r"""Text whose line breaks, tabs and other control characters are escaped as in a Python string.

    >>> print(one_line("a\nb\t"))
    a\nb\t
    """
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
    )


def visible(text: str) -> str:
    r"""A token without surrounding spaces and with line breaks as \n; quoted if it would otherwise be invisible.

    >>> print(visible(" cat"), visible("  "), visible("a\n"), visible("\n"))
    cat '  ' a\n '\n'
    """
    seen = text.strip(" ")
    return one_line(seen) if any(one.isprintable() and not one.isspace() for one in seen) else repr(text)


def visible_token(text: str) -> str:
    r"""A token with each space as ␣, and line breaks and other invisible characters escaped as in a Python string.

    Unlike `visible`, it keeps tokens apart that differ only in a space, such as " cat" and "cat".

    >>> print(visible_token(" cat"), visible_token("cat"), visible_token("\n"), visible_token("\u200b"))
    ␣cat cat \n \u200b
    """
    return "".join(
        "␣" if letter == " " else letter if letter.isprintable() else repr(letter)[1:-1] for letter in text
    )


def brief_repr(self: Any) -> str:
    """The repr of a dataclass that holds large arrays: their types and shapes, and other values cut to 80 characters.

    Use it as `__repr__` of the class.

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> @dataclass(frozen=True)
    ... class Pair:
    ...     name: str
    ...     weights: np.ndarray
    ...     __repr__ = brief_repr
    >>> Pair("a", np.zeros((2, 3)))
    Pair(name='a', weights=float64 [2 3])
    """
    fields = ", ".join(
        f"{field.name}={_brief(getattr(self, field.name))}"
        for field in dataclasses.fields(self)
        if field.repr
    )
    return f"{type(self).__name__}({fields})"


def _brief(value: Any) -> str:
    if is_array(value):
        shape = " ".join(map(str, value.shape))
        return f"{str(value.dtype).removeprefix('torch.')} [{shape}]"
    if isinstance(value, (list, tuple, set, dict)) and len(value) > 3:
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_brief(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_brief, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def first_line(error: BaseException) -> str:
    """The first line of another library's error, cut to 200 characters."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def is_array(value: Any) -> bool:
    """Whether a value is a tensor or an array; compares class names, so that torch need not be imported."""
    return any(base.__name__ in ("Tensor", "ndarray") for base in type(value).__mro__)
