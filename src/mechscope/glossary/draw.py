"""The shipped figures of the demos, which `python -m mechscope.glossary.draw` brings up to date."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from rich.console import Console

from mechscope.glossary.demo import demo_source, has_demo, run_demo
from mechscope.glossary.entry import Entry, all_entries, find_entry
from mechscope.pages.figures import DrawnFigure, draw_figure
from mechscope.storage.files import write_atomically

FIGURES = Path(__file__).parent / "figures"
MOST_BYTES = 15_000


def shipped_figure(entry: Entry) -> DrawnFigure | None:
    """The figure of an entry's demo as it is shipped; None if there is none, or the demo has changed since."""
    path = figure_path(entry)
    if not has_demo(entry) or not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.pop("demo") != _digest(entry):
        return None
    return DrawnFigure(**content)


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
    content = {**asdict(draw_figure(run_demo(entry))), "demo": _digest(entry)}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
    if (size := len(text.encode())) > MOST_BYTES:
        raise ValueError(
            f"the figure of {entry.slug} takes {size} bytes; at most {MOST_BYTES} keep its page small. "
            "Draw fewer points."
        )
    write_atomically(figure_path(entry), text)
    return size


def main(names: Sequence[str]) -> int:
    """Draw the figures of the named entries; without names, those whose demo is new or has changed.

    Returns:
        1 if a figure could not be drawn, after drawing the others.
    """
    console = Console(highlight=False)
    entries = [find_entry(name) for name in names] or [
        entry for entry in all_entries().values() if has_demo(entry) and shipped_figure(entry) is None
    ]
    failed = 0
    for entry in entries:
        try:
            console.print(f"{entry.slug}: {ship_figure(entry)} bytes", markup=False)
        except Exception as error:
            # An author sees at once which demos need work.
            failed += 1
            console.print(f"{entry.slug}: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
    known = {figure_path(entry) for entry in all_entries().values() if has_demo(entry)}
    for path in sorted(set(FIGURES.glob("*.json")) - known):
        path.unlink()
        console.print(f"{path.stem}: removed, because it has no demo any more", markup=False)
    return 1 if failed else 0


def _digest(entry: Entry) -> str:
    """A checksum of the demo's code without spaces, by which a figure of an earlier version is noticed."""
    return sha256("".join(demo_source(entry).split()).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
