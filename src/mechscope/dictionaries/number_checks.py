"""Refuse impossible numbers in settings before any work."""

from __future__ import annotations

import math

from mechscope.arguments import is_number, is_whole_number, shown

MOST = 2**40
"""More features, activations or steps than any machine has room or time for."""


def check_whole(name: str, value: object, least: int = 1, most: int = MOST) -> None:
    """Refuse anything but a whole number from `least` to `most`.

    Raises:
        ValueError: with the setting's name.
    """
    # No NumPy integers: settings are saved as JSON.
    if not (isinstance(value, int) and is_whole_number(value, least)):
        raise ValueError(f"{name} must be a whole number of at least {least}, not {shown(value)}.")
    if value > most:
        raise ValueError(f"{name} must be a whole number of at most {most:,}, not {shown(value)}.")


def check_number(name: str, value: object, *, zero: bool = False) -> None:
    """Refuse anything but a finite number above 0.

    Args:
        zero: allow 0 too.

    Raises:
        ValueError: with the setting's name.
    """
    number = value if isinstance(value, (int, float)) and is_number(value, float) else math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        wanted = "of at least 0" if zero else "above 0"
        raise ValueError(f"{name} must be a number {wanted}, not {shown(value)}.")
