"""`mechscope neuroscope search`, `units` and `fire`: find units by words, by a statistic, and by a text of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from mechscope.arguments import one_line
from mechscope.cli.console import Terminal, print_json, print_listing
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
    if command.token:
        return _search_token(command, words)
    with user_errors(), NeuroscopeStore.open(command.place) as store:
        labels = store.labels.search(words, command.limit)
        units = find_by_text(store, words, command.limit)
    if command.json:
        found = [{"address": str(label.address), "label": label.label} for label in labels]
        print_json({"labels": found, "units": _as_objects(units)})
        return 0
    if not units and not labels:
        raise UserError(
            f"no label and no context has {words!r}. Try fewer words, or --token for a single token."
        )
    console = Terminal()
    for label in labels:
        console.print(Text.assemble((f"{label.address}  ", "bold"), one_line(label.label)), soft_wrap=True)
    if units:
        rows = [(str(each.address), str(each.contexts), shown_token(each.example)) for each in units]
        print_listing(console, ("unit", "contexts", "example"), rows, numbers=1)
    return 0


def _search_token(command: Search, token: str) -> int:
    with user_errors(), NeuroscopeStore.open(command.place) as store:
        units = find_by_token(store, token, command.limit)
    if command.json:
        print_json({"units": _as_objects(units)})
        return 0
    if not units:
        raise UserError(f"no unit's top contexts were kept for the token {token!r}.")
    rows = [(str(each.address), f"{each.contexts} of {each.of}", f"{each.highest:.3g}") for each in units]
    print_listing(Terminal(), ("unit", "top contexts", "highest"), rows, numbers=2)
    return 0


def run_units(command: Units) -> int:
    """Run `units` and return its exit code."""
    _check_limit(command.limit)
    with user_errors(), NeuroscopeStore.open(command.place) as store:
        found = find_by_statistic(store, command.sort, command.sites, command.limit)
        pages = [store.unit(unit.address) for unit in found]
    if command.json:
        print_json(
            [
                {"address": str(unit.address), command.sort: unit.value} | vars(page.statistics)
                for unit, page in zip(found, pages, strict=True)
            ]
        )
        return 0
    if not found:
        raise UserError(f"no unit has a value for {command.sort}.")
    # The statistic that the list is sorted by stands first, and no number stands there twice.
    others = [name for name in ("above 0", "maximum") if name != command.sort]
    rows: list[list[str]] = []
    for unit, page in zip(found, pages, strict=True):
        values = {
            "above 0": f"{page.statistics.firing_rate:.2%}",
            "maximum": f"{page.statistics.maximum:.3g}",
        }
        context = page.contexts[0] if page.contexts else None
        example = "".join(context.tokens[: context.focus + 1][-8:]) if context else ""
        shown = [values[name] for name in others]
        rows.append([str(unit.address), f"{unit.value:.4g}", *shown, shown_token(example)])
    console = Terminal()
    console.print(Text(measure(command.sort).description, "dim"))
    headings = ["unit", command.sort, *others, "highest context"]
    print_listing(console, headings, rows, numbers=1 + len(others))
    return 0


def run_fire(command: Fire) -> int:
    """Run `fire` and return its exit code."""
    from mechscope.neuroscope.fire import BEFORE, fire

    _check_limit(command.limit)
    with user_errors(), NeuroscopeStore.open(command.place) as store:
        fired = fire(store, " ".join(command.text), sites=command.sites, limit=command.limit)
    if command.json:
        print_json({"tokens": fired.tokens, "units": _as_objects(fired.units)})
        return 0
    if not fired.units:
        raise UserError("no unit is active on this text.")
    rows: list[list[str | Text]] = []
    for unit in fired.units:
        before = shown_token("".join(fired.tokens[max(0, unit.position - BEFORE) : unit.position]))
        share = f"{unit.share:.3%}" if unit.share else "never"
        token = Text.assemble(
            (before, "dim"), ("[", "bold"), shown_token(fired.tokens[unit.position]), ("]", "bold")
        )
        low = " (low)" if unit.is_low else ""
        rows.append([str(unit.address), f"{unit.value:.3g}", f"{share}{low}", token])
    explanation = (
        "Share of tokens: at how many of the tokens that were harvested the unit was at least as active (low: at "
        "most as active). The rarest comes first."
    )
    console = Terminal()
    console.print(Text(explanation, "dim"))
    print_listing(console, ("unit", "activation", "share of tokens", "token"), rows, numbers=2)
    return 0


def _as_objects(units: Sequence[Any]) -> list[dict[str, Any]]:
    """Units as JSON has them: their fields, with the address as text."""
    return [vars(unit) | {"address": str(unit.address)} for unit in units]


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise UserError(f"--limit must be at least 1, not {limit}.")
