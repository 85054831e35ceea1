"""Which run of a step the web lab shows: the reader's latest, or else the one that comes with mechscope."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.finished_runs import find_runs
from mechscope.labs.page_parts import page_parts
from mechscope.labs.registry import LabEntry
from mechscope.labs.run_page import FILE, RunPage, read_page

REPORT = "report.html"
"""The file of a run that holds all of it as one page."""
SHIPPED = Path(__file__).parent / "shipped_runs"
"""Runs that come with mechscope: one page.json per step, written by `python -m mechscope.labs.shipping`."""


@dataclass(frozen=True)
class ShownRun:
    """A run, ready to be shown."""

    page: RunPage
    """What it found."""
    parts: Mapping[str, Any]
    """What templates need, from `page_parts`."""
    is_own: bool
    """Whether the reader's machine made it."""
    report: Path | None = None
    """The whole run as one HTML file; None if it is not on this machine."""


@dataclass(frozen=True)
class Choice:
    """What a step's page shows."""

    run: ShownRun | None
    """The run; None if the reader has none and none comes with mechscope."""
    problems: tuple[str, ...] = ()
    """Later runs of the reader that cannot be shown: what is wrong with each, and what to do."""


def choose_run(runs: Path | None, entry: LabEntry, *, live: str = "", shipped: Path = SHIPPED) -> Choice:
    """The run that a step's page shows. A damaged run is skipped, with a sentence about it; nothing is changed.

    Args:
        runs: the folder of the reader's runs, which may be missing; None for a site that shows none.
        entry: the step.
        live: HTML for the place of the live figure.
        shipped: the folder of runs that come with mechscope.
    """
    problems: list[str] = []
    try:
        found = () if runs is None else find_runs(runs, entry)
    except OSError as error:
        found = ()
        problems.append(
            f"Your runs of this step cannot be shown: {str(error).replace(f'{runs}{os.sep}', '')}"
        )
    for run in found:
        path = run.folder / FILE
        name = f"{run.folder.parent.name}/{run.folder.name}"
        if not path.exists():
            problems.append(
                f"Your run `{name}` was made by an earlier version of mechscope, which did not keep what this page "
                f"shows. {_again(run.folder, entry)}"
            )
            continue
        try:
            return Choice(_shown(path, entry, live, is_own=True), tuple(problems))
        except (ValueError, KeyError, OSError) as error:
            reason = str(error.args[0] if isinstance(error, KeyError) else error)
            # A published page should not name folders of the machine that made it.
            reason = reason.replace(f"{run.folder.parent.parent}{os.sep}", "")
            problems.append(f"Your run `{name}` cannot be shown. {reason} {_again(run.folder, entry)}")
    ours = shipped / f"{entry.folder_name}.json"
    return Choice(_shown(ours, entry, live, is_own=False) if ours.is_file() else None, tuple(problems))


def _shown(path: Path, entry: LabEntry, live: str, *, is_own: bool) -> ShownRun:
    page = read_page(path)
    if (page.step, page.slug) != (entry.step, entry.slug):
        raise ValueError(f"{path} belongs to step {page.step} ({page.slug}).")
    report = path.parent / REPORT if is_own else None
    there = report if report is not None and report.is_file() else None
    return ShownRun(page, page_parts(page, live=live), is_own, there)


def _again(folder: Path, entry: LabEntry) -> str:
    budget, _, seed = folder.name.partition("-seed-")
    options = f" --budget {budget} --seed {seed}" if budget in ("quick", "full") and seed.isdigit() else ""
    return (
        f"To repair it, run `mechscope run {entry.slug}{options}`: what it had computed is used again if it is intact. "
        "Nothing was deleted."
    )
