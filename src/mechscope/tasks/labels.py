"""Axis labels for tokens."""

from __future__ import annotations

from collections.abc import Sequence

from mechscope.arguments import visible


def numbered(texts: Sequence[str]) -> tuple[str, ...]:
    """Tokens with their positions, as in "3 John", so that equal tokens get different labels."""
    return tuple(f"{pos} {visible(text)}" for pos, text in enumerate(texts))
