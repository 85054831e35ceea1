"""A unit's page in a notebook: its statistics, and its strongest contexts with tokens coloured by the activation."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mechscope.neuroscope.unit_text import shown_contexts, shown_token, statistics_text

if TYPE_CHECKING:
    from mechscope.neuroscope.units import Context, UnitPage

FAINTEST = 0.1
"""Weaker colours are left out."""
_HIGH, _LOW = "230,120,20", "50,110,220"
"""The colours behind the highest and the lowest activations, which are seen through on light and dark pages alike."""


def page_html(page: UnitPage) -> str:
    """The page as HTML without scripts."""
    strongest = max((abs(value) for each in page.contexts for value in each.values), default=0.0) or 1.0
    rows = "".join(
        f"<tr><td style='text-align:right'>{context.value:#.3g}</td><td style='text-align:left;white-space:pre-wrap;"
        f"font-family:monospace'>{_tokens(context, strongest)}</td></tr>"
        for context in shown_contexts(page)
    )
    return (
        f"<div><strong>{escape(str(page.address))}</strong><br>{escape(statistics_text(page.statistics))}"
        f"<table style='color:inherit'>{rows}</table></div>"
    )


def _tokens(context: Context, strongest: float) -> str:
    return "".join(
        f"<span style='{_style(value, strongest, is_focus=place == context.focus)}' title='{value:.3g}'>"
        f"{escape(shown_token(token))}</span>"
        for place, (token, value) in enumerate(zip(context.tokens, context.values, strict=True))
    )


def _style(value: float, strongest: float, *, is_focus: bool) -> str:
    strength = min(abs(value) / strongest, 1.0)
    colour = _HIGH if value > 0 else _LOW
    parts = [f"background:rgba({colour},{strength:.2f})"] if strength >= FAINTEST else []
    return ";".join([*parts, *(["outline:1px solid"] if is_focus else [])])
