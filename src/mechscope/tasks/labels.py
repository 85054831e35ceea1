"""How a token stands on an axis."""

from __future__ import annotations

from collections.abc import Sequence

from mechscope.value_kinds import visible


def numbered(texts: Sequence[str]) -> tuple[str, ...]:
    """Tokens with their positions, "3 John": two equal tokens are two positions."""
    return tuple(f"{pos} {visible(text)}" for pos, text in enumerate(texts))
