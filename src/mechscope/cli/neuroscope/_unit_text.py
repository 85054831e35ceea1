"""A unit's page as text for a terminal, with tokens coloured by the unit's activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mechscope.arguments import visible_token
from mechscope.neuroscope.unit_text import shown_token, statistics_text, tokens_around
from mechscope.neuroscope.units import Context, Histogram, Neighbour, UnitPage

HEADINGS = {
    "top": "Highest activations",
    "low": "Lowest activations",
    "quantile": "At quantiles: the share of activations below",
    "random": "At random",
}
ROWS = 16
"""The most rows of a histogram."""
INDENT = 16
"""The width of the headings of lists."""
BAR = 40
"""The length of the longest bar in characters."""
_HIGH, _LOW = (230, 120, 20), (50, 110, 220)
"""The colours behind the highest and the lowest activations."""


def page_text(page: UnitPage, left_out: int, width: int, contexts: int) -> RenderableType:
    """Everything about a unit but its labels.

    Args:
        left_out: how many tokens were left out at its site as attention sinks.
        width: the width of the terminal in characters.
        contexts: how many contexts of each kind.
    """
    parts: list[RenderableType] = [Text(str(page.address), "bold"), _statistics(page, left_out)]
    parts.append(_histogram(page.histogram))
    if page.logit_effects is not None:
        parts.append(_effects("promotes", page.logit_effects.promoted, width))
        parts.append(_effects("suppresses", page.logit_effects.suppressed, width))
    if page.by_weights:
        parts.append(_neighbours("similar weights", page.by_weights, width))
    if page.by_activation:
        parts.append(_neighbours("active together", page.by_activation, width))
    strongest = strongest_of(page)
    for kind, heading in HEADINGS.items():
        of_kind = [each for each in page.contexts if each.kind == kind]
        # Quantiles are shown over their whole range, however few there is room for.
        step = -(-len(of_kind) // max(contexts, 1)) if kind == "quantile" and of_kind else 1
        chosen = of_kind[::step][:contexts]
        if chosen:
            parts += [Text(""), Text(heading, "bold")]
            parts += [context_line(each, width, strongest) for each in chosen]
    return Group(*parts)


def strongest_of(page: UnitPage) -> float:
    """The size of the largest activation in a unit's contexts, which gets the full colour."""
    return max((abs(value) for each in page.contexts for value in each.values), default=0.0)


def context_line(context: Context, width: int, strongest: float) -> Text:
    """A context in one line: the value, and as many tokens around the focus as fit.

    Args:
        width: the width of the line in characters.
        strongest: the size of the activation that gets the full colour.
    """
    share = "" if context.quantile is None else f"{context.quantile:7.1%}  "
    line = Text(f"{share}{context.value:#9.3g}  ")
    for place in tokens_around(context, width - line.cell_len):
        shown = shown_token(context.tokens[place])
        style = colour(context.values[place], strongest)
        if place == context.focus:
            # The brackets say without colours which token it is.
            line.append_text(Text.assemble(("[", "bold"), (shown, f"bold {style}"), ("]", "bold")))
        else:
            line.append(shown, style)
    return line


def colour(value: float, strongest: float) -> str:
    """The background of a token, stronger for a larger activation; none for a small one, and for NaN."""
    strength = min(abs(value) / strongest, 1.0) if strongest else 0.0
    if not strength >= 0.1:
        return ""
    red, green, blue = (round(255 + (part - 255) * strength) for part in (_HIGH if value > 0 else _LOW))
    return f"black on rgb({red},{green},{blue})"


def _statistics(page: UnitPage, left_out: int) -> Text:
    return Text(statistics_text(page.statistics, left_out))


def _histogram(histogram: Histogram) -> Table:
    table = Table.grid(padding=(0, 1))
    for justify in ("right", "right", "right", "left"):
        table.add_column(justify=justify)
    total, rows = max(sum(histogram.counts), 1), list(_rows(histogram))
    most = max((count for _, _, count in rows), default=0)
    for low, high, count in rows:
        bar = BAR * count / max(most, 1)
        # A few activations are still to be seen.
        blocks = "█" * int(bar) or ("▏" if count else "")
        table.add_row(f"{low:.3g}", f"to {high:.3g}", f"{count / total:.2%}", Text(blocks, "rgb(200,110,30)"))
    return table


def _rows(histogram: Histogram) -> Iterator[tuple[float, float, int]]:
    """Neighbouring bins together, so that there are at most `ROWS`."""
    step = -(-len(histogram.counts) // ROWS)
    for first in range(0, len(histogram.counts), step):
        last = min(first + step, len(histogram.counts))
        yield histogram.edges[first], histogram.edges[last], sum(histogram.counts[first:last])


def _effects(what: str, effects: Sequence[tuple[str, float]], width: int) -> Text:
    return _list(what, [(visible_token(token), effect) for token, effect in effects], width)


def _neighbours(what: str, neighbours: Sequence[Neighbour], width: int) -> Text:
    near = [(f"{near.address.site}/{near.address.unit}", near.similarity) for near in neighbours]
    return _list(what, near, width)


def _list(what: str, entries: Sequence[tuple[str, float]], width: int) -> Text:
    """Names with numbers, in lines that are broken between entries."""
    text, column = Text(f"{what:<{INDENT}}", "dim"), INDENT
    for name, number in entries:
        size = cell_len(name) + 9
        if column + size > width and column > INDENT:
            text.append("\n" + " " * INDENT)
            column = INDENT
        text.append(f"{name} ", "not dim").append(f"{number:+.2f}  ")
        column += size
    return text
