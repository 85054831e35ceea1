"""`mechscope neuroscope search`, `units` and `fire`: find units by words, by a statistic, and by a text of your own."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mechscope.arguments import one_line
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope.store_commands import Fire, Search, Units
from mechscope.neuroscope.queries import find_by_statistic, find_by_text, find_by_token
from mechscope.neuroscope.statistics import measure
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.unit_text import shown_token


def run_search(command: Search) -> int:
    """Run `search` and return its exit code."""
    _check_limit(command.limit)
    words = " ".join(command.words)
    console = Console(highlight=False)
    with user_errors(), NeuroscopeStore.open(command.model) as store:
        if command.token:
            table = _table("unit", "top contexts", "highest")
            for found in find_by_token(store, words, command.limit):
                table.add_row(
                    Text(str(found.address)), f"{found.contexts} of {found.of}", f"{found.highest:.3g}"
                )
            _print(console, table, f"no unit's top contexts were kept for the token {words!r}.")
            return 0
        labels = store.labels.search(words, command.limit)
        units = find_by_text(store, words, command.limit)
    for label in labels:
        console.print(Text.assemble((f"{label.address}  ", "bold"), one_line(label.label)))
    table = _table("unit", "contexts", "example", numbers=1)
    for found in units:
        example = Text(shown_token(found.example))
        example.truncate(max(20, console.width - len(str(found.address)) - 14), overflow="ellipsis")
        table.add_row(Text(str(found.address)), str(found.contexts), example)
    nothing = f"no label and no context has {words!r}. Try fewer words, or --token for a single token."
    if units or not labels:
        _print(console, table, nothing)
    return 0


def run_units(command: Units) -> int:
    """Run `units` and return its exit code."""
    _check_limit(command.limit)
    console = Console(highlight=False)
    with user_errors(), NeuroscopeStore.open(command.model) as store:
        found = find_by_statistic(store, command.sort, command.sites, command.limit)
        pages = [store.unit(unit.address) for unit in found]
    console.print(Text(measure(command.sort).description, "dim"))
    table = _table("unit", command.sort, "above 0", "maximum", "highest context", numbers=3)
    for unit, page in zip(found, pages, strict=True):
        context = page.contexts[0] if page.contexts else None
        example = "".join(context.tokens[: context.focus + 1][-8:]) if context else ""
        table.add_row(
            Text(str(unit.address)),
            f"{unit.value:.4g}",
            f"{page.statistics.firing_rate:.2%}",
            f"{page.statistics.maximum:.3g}",
            Text(shown_token(example)),
        )
    _print(console, table, f"no unit has a value for {command.sort}.")
    return 0


def run_fire(command: Fire) -> int:
    """Run `fire` and return its exit code."""
    from mechscope.neuroscope.fire import BEFORE, fire

    _check_limit(command.limit)
    console = Console(highlight=False)
    with user_errors(), NeuroscopeStore.open(command.model) as store:
        fired = fire(store, " ".join(command.text), sites=command.sites, limit=command.limit)
    table = _table("unit", "activation", "share of tokens", "token", numbers=2)
    for unit in fired.units:
        before = shown_token("".join(fired.tokens[max(0, unit.position - BEFORE) : unit.position]))
        share = f"{unit.share:.3%}" if unit.share else "never"
        table.add_row(
            Text(str(unit.address)),
            f"{unit.value:.3g}",
            f"{share}{' (low)' if unit.is_low else ''}",
            Text.assemble(
                (before, "dim"), ("[", "bold"), shown_token(fired.tokens[unit.position]), ("]", "bold")
            ),
        )
    explanation = (
        "Share of tokens: at how many of the tokens that were harvested the unit was at least as active (low: at "
        "most as active). The rarest comes first."
    )
    console.print(Text(explanation, "dim"))
    _print(console, table, "no unit is active on this text.")
    return 0


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise UserError(f"--limit must be at least 1, not {limit}.")


def _table(*headings: str, numbers: int = 2) -> Table:
    """A table whose first column has addresses, the next ones numbers, and the others text that may be cut."""
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        is_number = 0 < place <= numbers
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis" if place > numbers else "fold",
        )
    return table


def _print(console: Console, table: Table, nothing: str) -> None:
    if not table.row_count:
        raise UserError(nothing)
    console.print(table)
