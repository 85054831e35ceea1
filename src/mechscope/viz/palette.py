"""Colours that colour-blind readers can distinguish, for light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """The colours of one theme. A series keeps its index in `series` when the theme changes."""

    text: str
    """Text on and around a figure."""
    faint: str
    """Grid lines and axes."""
    reference: str
    """Reference lines: zero, chance, a threshold."""
    series: tuple[str, ...]
    """One colour per series, in order: Okabe and Ito's set without yellow and black."""
    sequential: tuple[str, ...]
    """Sequential scale, from low to high."""
    diverging: tuple[str, ...]
    """Diverging scale, from negative (cool) through zero (the page colour) to positive (warm)."""


LIGHT_PALETTE = Palette(
    text="#1d2430",
    faint="#dfe4ea",
    reference="#6b7685",
    series=("#0072B2", "#D55E00", "#009E73", "#B5579A", "#56B4E9", "#B87A00"),
    sequential=("#f6f8fb", "#c8dcef", "#7fb3d9", "#2f7fbd", "#0b4f8a", "#062f57"),
    diverging=("#053f7a", "#2f7fbd", "#a9cde6", "#f7f7f5", "#f8c9a8", "#dd6a2b", "#8a2f05"),
)

DARK_PALETTE = Palette(
    text="#e4e8ee",
    faint="#323b48",
    reference="#94a0b0",
    series=("#5AB4F0", "#FF8C4B", "#35CFA3", "#EBA3D2", "#A5DBFA", "#F2C04F"),
    sequential=("#171c24", "#17395a", "#1f5f97", "#3f92d2", "#86c3f0", "#e2f2ff"),
    diverging=("#b5dcff", "#4f9fdc", "#1f4a73", "#171c24", "#6e3516", "#e07a3a", "#ffd0ab"),
)
