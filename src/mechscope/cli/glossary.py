"""`mechscope glossary`: print an entry, search, draw a demo, and say what to read first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from mechscope.cli.commands import Glossary
from mechscope.cli.console import Terminal
from mechscope.cli.errors import UserError, user_errors
from mechscope.glossary.demo import has_demo, run_demo
from mechscope.glossary.entry import LINK, SECTIONS, Entry, entries_of, find_entry
from mechscope.glossary.live import LIVE
from mechscope.glossary.paths import reading_path
from mechscope.glossary.search import search

ACTIONS = ("demo", "path", "counts")


def glossary(command: Glossary) -> int:
    """Run `mechscope glossary` and return its exit code."""
    console = Terminal()
    action, words = _split(command.words)
    if command.out is not None and action != "demo":
        raise UserError("--out is where `mechscope glossary demo TERM` writes the figure.")
    if action == "counts":
        show_counts(console)
    elif action == "path":
        show_path(console, _find(words))
    elif action == "demo":
        draw_demo(console, _find(words), command.out)
    elif words:
        show_found(console, words)
    else:
        show_sections(console)
    return 0


def _split(words: tuple[str, ...]) -> tuple[str, str]:
    """The action (empty to print an entry) and the term."""
    whole = " ".join(words)
    if not words or words[0] not in ACTIONS or _is_entry(whole):
        return "", whole
    action, term = words[0], " ".join(words[1:])
    if action == "counts" and term:
        raise UserError(f"`mechscope glossary counts` takes no term; found {term!r}.")
    if action != "counts" and not term:
        raise UserError(
            f"name a term: mechscope glossary {action} TERM. `mechscope glossary` lists the sections."
        )
    return action, term


def _is_entry(name: str) -> bool:
    # "path patching" is a term, and not the path to "patching".
    try:
        find_entry(name)
    except KeyError:
        return False
    return True


def _find(name: str) -> Entry:
    with user_errors():
        return find_entry(name)


def show_found(console: Console, query: str) -> None:
    """Print an entry, or, for words that are no term, the entries that they may mean."""
    if _is_entry(query):
        show_entry(console, find_entry(query))
        return
    found = search(query)
    if not found:
        raise UserError(
            f"no entry is called {query!r} or mentions it. `mechscope glossary` lists the sections; try a shorter word."
        )
    console.print(f"No entry is called {query!r}. Did you mean one of these?\n", markup=False)
    _show_lines(console, found)


def show_entry(console: Console, entry: Entry) -> None:
    """Print an entry with what it refers to."""
    console.print(Text.assemble((entry.term, "bold"), (f"  {SECTIONS[entry.section]}", "dim")))
    console.print(Text(entry.line, "italic"))
    if entry.aliases:
        console.print(Text(f"Also called {', '.join(entry.aliases)}.", "dim"))
    console.print(Markdown(_readable(entry.text)))
    console.print()
    references = {
        "read first": ", ".join(entry.before),
        "see also": ", ".join(entry.see),
        "exercises": ", ".join(entry.exercises),
        "steps": ", ".join(entry.labs),
        "papers": "\n".join(entry.papers),
        "demo": f"mechscope glossary demo {entry.slug}" if has_demo(entry) else "",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in references.items():
        if value:
            table.add_row(Text(name, "dim"), Text(value))
    console.print(table)


def _readable(text: str) -> str:
    """Markdown for a terminal: a link is bold, with its slug where that cannot be guessed from the words."""

    def shown(link: re.Match[str]) -> str:
        try:
            is_plain = find_entry(link[1]).slug == link[2]
        except KeyError:
            is_plain = False
        return f"**{link[1]}**" if is_plain else f"**{link[1]}** ({link[2]})"

    # Formulas are shown as they are written; as code, so that Markdown leaves their underscores alone.
    text = re.sub(r"\$\$?([^$\n]+)\$\$?", r"`\1`", text)
    return LINK.sub(shown, text)


def show_path(console: Console, entry: Entry) -> None:
    """Print what to read before an entry, in order."""
    with user_errors():
        path = reading_path(entry)
    if len(path) == 1:
        console.print(f"{entry.term} needs no other entry.")
    _show_lines(console, path)


def draw_demo(console: Console, entry: Entry, out: Path | None) -> None:
    """Draw an entry's figure, write it as a page, and print its caption."""
    from mechscope.glossary.demo_page import demo_page
    from mechscope.storage.files import check_file, write_atomically

    if not has_demo(entry):
        others = [other.slug for other in entries_of(entry.section) if has_demo(other)]
        hint = f" Demos in the same section: {', '.join(others)}." if others else ""
        raise UserError(f"{entry.slug} has no demo.{hint}")
    out = out or Path(f"{entry.slug}.html")
    with user_errors():
        check_file(out)
    figure = run_demo(entry)
    with user_errors():
        write_atomically(out, f"{demo_page(entry, figure)}\n")
    layout: Any = figure.figure.layout
    console.print(Text(str(layout.title.text or entry.term), "bold"))
    console.print(figure.caption, markup=False)
    console.print(f"Written: {out}", markup=False, soft_wrap=True)


def show_sections(console: Console) -> None:
    """Print the sections with their terms."""
    for section, title in SECTIONS.items():
        if entries := entries_of(section):
            console.print(Text.assemble((title, "bold"), (f"  {len(entries)}", "dim")))
            console.print(Text(", ".join(entry.term for entry in entries)))
    console.print(
        "\n[dim]mechscope glossary TERM prints an entry, demo TERM draws it, path TERM says what to read first.[/]"
    )


def show_counts(console: Console) -> None:
    """Print how many entries, demos, live demos and links each section has."""
    table = Table(box=None, pad_edge=False)
    table.add_column("section")
    for heading in ("entries", "demos", "live", "links"):
        table.add_column(heading, justify="right")
    total = [0, 0, 0, 0]
    for section, title in SECTIONS.items():
        entries = entries_of(section)
        live = sum(entry.slug in LIVE for entry in entries)
        row = [len(entries), sum(map(has_demo, entries)), live, sum(len(entry.links) for entry in entries)]
        total = [one + other for one, other in zip(total, row, strict=True)]
        table.add_row(title, *map(str, row))
    table.add_row("all", *map(str, total), style="bold")
    console.print(table)


def _show_lines(console: Console, entries: list[Entry]) -> None:
    table = Table.grid(padding=(0, 2))
    # A name that is cut cannot be typed.
    table.add_column(width=max((len(entry.slug) for entry in entries), default=0))
    for entry in entries:
        table.add_row(Text(entry.slug, "bold"), Text(entry.line))
    console.print(table)
