"""Describe the differences between two tables of settings. Does not load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def config_diff(
    one: Any,
    two: Any,
    in_one: str,
    in_two: str,
    *,
    show: Callable[[Any], str] = repr,
    missing: Any = None,
    at: str = "",
) -> list[str]:
    """One line for every setting that differs.

    >>> config_diff({"k": 8, "lr": 1}, {"k": 16, "lr": 1}, "there", "here")
    ['k is 8 there and 16 here']

    Args:
        in_one: words for where the first value stands.
        in_two: words for where the second value stands.
        show: turns a value into words.
        missing: the value of a setting that one table lacks.
        at: the name of the table.
    """
    if not (isinstance(one, Mapping) and isinstance(two, Mapping)):
        return [] if one == two else [f"{at} is {show(one)} {in_one} and {show(two)} {in_two}"]
    return [
        line
        for name in dict.fromkeys([*one, *two])
        for line in config_diff(
            one.get(name, missing),
            two.get(name, missing),
            in_one,
            in_two,
            show=show,
            missing=missing,
            at=f"{at}.{name}" if at else str(name),
        )
    ]
