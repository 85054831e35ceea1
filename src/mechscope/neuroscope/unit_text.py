"""What is known about a unit in plain text: the reprs of pages and contexts, and sentences that the terminal shares."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len

from mechscope.arguments import one_line, visible_token

if TYPE_CHECKING:
    from mechscope.neuroscope.units import Context, UnitPage, UnitStatistics

WIDTH = 72
"""How many characters a repr has room for in a line of a context."""
CONTEXTS, LOWEST = 6, 2
"""How many of the highest and of the lowest contexts a page's repr shows."""
EFFECTS = 5
"""How many promoted and suppressed tokens it shows."""


def shown_token(text: str) -> str:
    r"""A token whose line breaks and control characters cannot move the cursor.

    >>> print(shown_token(" a\n"), shown_token("\x1b[1m"))
     a⏎ \x1b[1m
    """
    return one_line(text.replace("\n", "⏎"))


def tokens_around(context: Context, width: int) -> range:
    """The indices of the tokens around the focus that fit into a width; two thirds of the room is before it."""
    sizes = [cell_len(shown_token(token)) for token in context.tokens]
    left = right = context.focus
    room = width - sizes[context.focus] - 2
    before = room * 2 // 3
    while left > 0 and sizes[left - 1] <= before:
        left -= 1
        before -= sizes[left]
        room -= sizes[left]
    while right + 1 < len(sizes) and sizes[right + 1] <= room:
        right += 1
        room -= sizes[right]
    return range(left, right + 1)


def context_text(context: Context, width: int = WIDTH) -> str:
    """The tokens of a context that fit into a width, with the focus in brackets."""
    return "".join(
        f"[{shown}]" if place == context.focus else shown
        for place in tokens_around(context, width)
        for shown in [shown_token(context.tokens[place])]
    )


def statistics_text(found: UnitStatistics, left_out: int = 0) -> str:
    """How a unit's activations are distributed.

    Args:
        left_out: how many tokens were left out as attention sinks.
    """
    sinks = f" (without {left_out:,} attention sinks)" if left_out else ""
    return (
        f"above 0 at {found.firing_rate:.2%} of {found.tokens:,} tokens{sinks} · mean {found.mean:.3g}, standard "
        f"deviation {found.variance**0.5:.3g} · from {found.minimum:.3g} to {found.maximum:.3g} · skewness "
        f"{found.skewness:.3g}, excess kurtosis {found.kurtosis:.3g}"
    )


def shown_contexts(page: UnitPage) -> tuple[Context, ...]:
    """The contexts that a page's repr shows."""
    return (*page.contexts_of("top")[:CONTEXTS], *page.contexts_of("low")[:LOWEST])


def page_lines(page: UnitPage) -> str:
    """The most important of what is known about a unit: statistics, the strongest contexts, what it writes."""
    lines = [f"{page.address}", f"  {statistics_text(page.statistics)}"]
    if page.logit_effects is not None:
        effects = {"promotes": page.logit_effects.promoted, "suppresses": page.logit_effects.suppressed}
        for what, tokens in effects.items():
            listed = ", ".join(f"{visible_token(token)} {effect:+.2g}" for token, effect in tokens[:EFFECTS])
            lines.append(f"  {what} {listed or 'nothing'}")
    lines += [f"  {context.value:#9.3g}  {context_text(context)}" for context in shown_contexts(page)]
    kinds = Counter(context.kind for context in page.contexts)
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    lines.append(f"  contexts: {counts or 'none'}")
    return "\n".join(lines)
