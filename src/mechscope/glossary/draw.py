"""The shipped figures of the demos, which `python -m mechscope.glossary.draw` brings up to date."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from mechscope.glossary.demo import demo_source, has_demo, run_demo
from mechscope.glossary.entry import Entry, all_entries, find_entry
from mechscope.pages.figures import DrawnFigure, draw_figure
from mechscope.pages.shipped import ship, ship_all, shipped_content

FIGURES = Path(__file__).parent / "figures"
MOST_BYTES = 15_000
_CHECKSUM = "demo"


def shipped_figure(entry: Entry) -> DrawnFigure | None:
    """The figure of an entry's demo as it is shipped; None if there is none, or the demo has changed since."""
    if not has_demo(entry):
        return None
    content = shipped_content(figure_path(entry), demo_source(entry), _CHECKSUM)
    return None if content is None else DrawnFigure(**content)


def figure_path(entry: Entry) -> Path:
    """Where the figure of an entry is shipped."""
    return FIGURES / f"{entry.slug}.json"


def ship_figure(entry: Entry) -> int:
    """Run an entry's demo and write its figure.

    Returns:
        The size in bytes.

    Raises:
        ValueError: if the figure is too large for a page.
    """
    content = asdict(draw_figure(run_demo(entry)))
    return ship(figure_path(entry), content, demo_source(entry), _CHECKSUM, MOST_BYTES)


def main(names: Sequence[str]) -> int:
    """Draw the figures of the named entries; without names, those whose demo is new or has changed.

    Returns:
        1 if a figure could not be drawn, after drawing the others.
    """
    entries = [find_entry(name) for name in names] or [
        entry for entry in all_entries().values() if has_demo(entry) and shipped_figure(entry) is None
    ]
    failed = ship_all({entry.slug: partial(ship_figure, entry) for entry in entries})
    console = Console(highlight=False)
    known = {figure_path(entry) for entry in all_entries().values() if has_demo(entry)}
    for path in sorted(set(FIGURES.glob("*.json")) - known):
        path.unlink()
        console.print(f"{path.stem}: removed, because it has no demo any more", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
