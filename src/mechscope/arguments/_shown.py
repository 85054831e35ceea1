"""Show values and text in one line of an error, a title or a table."""

from __future__ import annotations

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


def first_line(error: BaseException) -> str:
    """The first line of another library's error, cut to 200 characters."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def is_array(value: Any) -> bool:
    """Whether a value is a tensor or an array; compares class names, so that torch need not be imported."""
    return any(base.__name__ in ("Tensor", "ndarray") for base in type(value).__mro__)
