"""Put finished runs into the package, so that a fresh install shows every step with figures and numbers.

    python -m mechscope.labs.shipping RUNS               # the full budget of every step
    python -m mechscope.labs.shipping RUNS --budget quick

A shipped run is the page.json of a run. It must not name anything of the machine that made it.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mechscope.labs.lab import BUDGETS
from mechscope.labs.page_parts import page_parts
from mechscope.labs.registry import LABS, LabEntry, find_entry
from mechscope.labs.run_page import FILE, read_page
from mechscope.labs.shown_run import SHIPPED
from mechscope.reading import read_text
from mechscope.storage.files import write_atomically

MOST_BYTES = 300_000
"""The largest run that is shipped."""
HOME_FOLDERS = re.compile(r"(?<![\w.>])/(?:home|root|Users|tmp|var|mnt|work|opt)/[\w.]|[A-Z]:\\\\")
"""Looks like a path on somebody's machine."""


def ship(runs: Path, entry: LabEntry, budget: str, to: Path = SHIPPED) -> Path:
    """Copy the page of a step's run into the package.

    Args:
        runs: the folder of runs.
        entry: the step.
        budget: quick or full; the run is the one with seed 0.
        to: the folder of shipped runs.

    Raises:
        FileNotFoundError: if there is no such run, or an earlier version made it.
        ValueError: if it is damaged, too large, of another step, or names something of this machine.
    """
    path = runs / entry.folder_name / f"{budget}-seed-0" / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: `mechscope run {entry.slug} --budget {budget} --out {runs}` writes it (a finished "
            "run is only reported again)."
        )
    page = read_page(path)
    if (page.step, page.slug) != (entry.step, entry.slug):
        raise ValueError(f"{path} belongs to step {page.step} ({page.slug}).")
    page_parts(page)  # a page that cannot be shown is not shipped
    text = read_text(path)
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"{path} has {len(text.encode()):,} bytes; at most {MOST_BYTES:,} are shipped.")
    if private := next(names_of_this_machine(text), None):
        raise ValueError(f"{path} contains {private!r}, which is a name or path of this machine.")
    to.mkdir(exist_ok=True)
    return write_atomically(to / f"{entry.folder_name}.json", text)


def names_of_this_machine(text: str) -> Iterator[str]:
    """What in a text names this machine or folders on it."""
    if found := HOME_FOLDERS.search(text):
        yield found[0]
    places = [str(Path.home()), str(Path.cwd()), tempfile.gettempdir(), os.environ.get("MECHSCOPE_DATA", "")]
    for name in (*(place for place in places if place.count("/") > 1), socket.gethostname()):
        if len(name) > 3 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            yield name


def main(arguments: list[str]) -> None:
    """Ship the runs of every step, or of some."""
    parser = argparse.ArgumentParser(prog="python -m mechscope.labs.shipping", description=__doc__)
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of runs")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="names of steps; all if none is given")
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    options = parser.parse_args(arguments)
    for entry in [find_entry(name) for name in options.steps] or LABS:
        path = ship(options.runs, entry, options.budget)
        print(f"{path.stat().st_size:>8,} bytes  {path.name}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
