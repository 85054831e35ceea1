"""Which values count as numbers: Python's and NumPy's, but never True and False."""

from __future__ import annotations

import numbers
from typing import Any, TypeGuard

NUMBER_WORDS = {bool: "True or False", int: "a whole number", float: "a number"}
"""How an error names the expected type."""


def is_number(value: Any, kind: type) -> bool:
    """Whether a value can be used as an `int` or a `float` (`kind`); True and False are not numbers."""
    number = numbers.Integral if kind is int else numbers.Real
    return isinstance(value, number) and not isinstance(value, bool)


def is_whole_number(value: Any, least: int | None = None, most: int | None = None) -> TypeGuard[int]:
    """Whether a value is an int or a NumPy integer from `least` to `most`; True and False are not.

    >>> is_whole_number(3), is_whole_number(3.0), is_whole_number(True), is_whole_number(0, least=1)
    (True, False, False, False)
    """
    if not is_number(value, int):
        return False
    return (least is None or value >= least) and (most is None or value <= most)
