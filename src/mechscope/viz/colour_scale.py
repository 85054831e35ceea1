"""Colour scales for pictures that are drawn in Python; components/colours.js has the same for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.viz.palette import LIGHT_PALETTE, Palette

_DARK_TEXT_FROM = 0.179
"""The relative luminance above which black text has more contrast than white."""


@dataclass(frozen=True)
class ColourScale:
    """Colours for numbers from `low` to `high`; numbers outside take the colour of the nearer end."""

    low: float
    high: float
    stops: tuple[str, ...]
    """Colours "#rrggbb" at equal distances."""

    def colours(self, values: Any) -> NDArray[np.uint8]:
        """Red, green and blue of each value [... 3]; of NaN, those of `low`."""
        values = np.asarray(values, dtype=np.float64)
        share = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        where = np.where(np.isnan(share), 0, share) * (len(self.stops) - 1)
        stops = np.array(
            [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in self.stops], dtype=np.float64
        )
        channels = [np.interp(where, np.arange(len(stops)), channel) for channel in stops.T]
        return np.floor(np.stack(channels, -1) + 0.5).astype(np.uint8)

    def hex(self, value: float) -> str:
        """The colour of one value as "#rrggbb".

        >>> scale_for([0, 1]).hex(0)
        '#f6f8fb'
        """
        return "#" + "".join(f"{channel:02x}" for channel in self.colours(value))


def scale_for(
    values: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    positive: str | None = None,
    negative: str | None = None,
    palette: Palette = LIGHT_PALETTE,
) -> ColourScale:
    """The scale of some values: diverging around 0 if it reaches below 0, otherwise sequential from 0 or `minimum`.

    A diverging scale has the same length on both sides, so that equal colours mean equal sizes.

    Args:
        values: what it must cover; values that are not finite are left out.
        minimum: its lower end, instead of the smallest value.
        maximum: its upper end, instead of the largest value.
        positive: "#rrggbb" of the upper end, instead of the palette's.
        negative: "#rrggbb" of the lower end of a diverging scale.
        palette: the colours of the theme.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    low = minimum if minimum is not None else min(float(known.min(initial=0)), 0.0)
    high = maximum if maximum is not None else float(known.max(initial=-np.inf))
    if low < 0:
        size = max(-low, high) or 1.0
        return ColourScale(-size, size, _diverging(palette, positive, negative))
    if not high > low:
        high = low + 1
    return ColourScale(
        low, high, palette.sequential if positive is None else (palette.sequential[0], positive)
    )


def _diverging(palette: Palette, positive: str | None, negative: str | None) -> tuple[str, ...]:
    """As many stops below 0 as above it."""
    half = len(palette.diverging) // 2
    middle = palette.diverging[half]
    below = palette.diverging[:half] if negative is None else _between(negative, middle, half)
    above = palette.diverging[half + 1 :] if positive is None else _between(positive, middle, half)[::-1]
    return (*below, middle, *above)


def _between(end: str, middle: str, count: int) -> tuple[str, ...]:
    """`count` colours from `end` towards `middle`, without it."""
    scale = ColourScale(0, count, (end, middle))
    return tuple(scale.hex(step) for step in range(count))


def text_on(colour: Sequence[int] | NDArray[np.uint8]) -> str:
    """Black or white, whichever can be read on [red, green, blue] (WCAG's relative luminance)."""
    share = np.asarray(colour, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return "#000" if float(linear @ (0.2126, 0.7152, 0.0722)) > _DARK_TEXT_FROM else "#fff"
