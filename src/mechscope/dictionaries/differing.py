"""Describe the differences between two tables of settings. Does not load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNTOLD = (
    "was written by an earlier version, which did not keep which weights and which text its activations came from: "
    "nobody can tell whether they are still the same."
)
"""What is said of a file without such checksums."""


def differences(
    one: Any,
    two: Any,
    in_one: str,
    in_two: str,
    *,
    show: Callable[[Any], str] = repr,
    missing: Any = None,
    at: str = "",
) -> list[str]:
    """Every setting that is not the same in both.

    >>> differences({"k": 8, "lr": 1}, {"k": 16, "lr": 1}, "there", "here")
    ['k is 8 there and 16 here']

    Args:
        in_one: what the first is called.
        in_two: what the second is called.
        show: a value as words.
        missing: what a setting counts as where it is not named.
        at: the name of the table.
    """
    if not (isinstance(one, Mapping) and isinstance(two, Mapping)):
        return [] if one == two else [f"{at} is {show(one)} {in_one} and {show(two)} {in_two}"]
    return [
        line
        for name in dict.fromkeys([*one, *two])
        for line in differences(
            one.get(name, missing),
            two.get(name, missing),
            in_one,
            in_two,
            show=show,
            missing=missing,
            at=f"{at}.{name}" if at else str(name),
        )
    ]
