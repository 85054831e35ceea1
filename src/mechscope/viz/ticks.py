"""Tick positions: round numbers, few enough to read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

MOST = 12
"""How many numbers fit on an axis."""


def distinct(labels: Sequence[str]) -> list[str]:
    """The labels with a number after each that was there before: Plotly draws bars of one name on one another.

    >>> distinct(["the", "cat", "the", "the"])
    ['the', 'cat', 'the (2)', 'the (3)']
    """
    found: list[str] = []
    for label in labels:
        copies = (label if number == 1 else f"{label} ({number})" for number in count(1))
        found.append(next(one for one in copies if one not in found))
    return found


def log_axis(values: Iterable[float]) -> dict[str, Any]:
    """A logarithmic Plotly axis for these values, with every tick label written in full.

    By default Plotly omits the power of ten between powers (2, 5, 0.1), so the labels read as plain numbers. Ticks are
    at 1, 2, 5 times each power of ten; if that is too many, at the powers only; if values are close together, at even
    steps. Values without a logarithm are ignored, as in the plot itself.
    """
    drawn = [float(value) for value in values if 0 < value < math.inf]
    if not drawn:
        return {"type": "log"}
    low, high = min(drawn) / 1.2, max(drawn) * 1.2
    marks = ticks(low, high, log=True)
    if len(marks) > MOST:
        return {"type": "log", "exponentformat": "power", "dtick": 1}
    if len(marks) < 3:
        marks = ticks(low, high, log=False)
    return {"type": "log", "tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}


def ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Round numbers from low to high: 1, 2, 5 times each power of ten, or even steps.

    >>> ticks(0.03, 0.4, log=True)
    [0.05, 0.1, 0.2]
    >>> ticks(0.61, 0.98, log=False)
    [0.7, 0.8, 0.9]
    """
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [round(part * 10.0**power, 12) for power in powers for part in (1, 2, 5)]
        return [tick for tick in found if low <= tick <= high]
    step = 10 ** math.floor(math.log10(high - low))
    step = next(each for each in (step / 5, step / 2, step, 2 * step) if (high - low) / each <= 7)
    return [round(step * number, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
