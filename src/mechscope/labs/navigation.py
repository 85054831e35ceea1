"""From a report to the pages around it: the step before, the step after, and the index of all runs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mechscope.labs import registry
from mechscope.labs.lab import LabRun

INDEX = "../../index.html"
"""From a report, in OUT/STEP-SLUG/RUN, to the index that every finished run writes into OUT."""


@dataclass(frozen=True)
class Neighbour:
    """A link to the step before or after."""

    step: str
    """Two digits."""
    summary: str
    """Its idea."""
    link: str
    """From the report."""
    before: bool
    """Before this step, or after it."""


def neighbours(run: LabRun) -> tuple[Neighbour, ...]:
    """The steps beside this one: their report with the same budget and seed, or else their place in the index.

    A step that the curriculum does not list has none.
    """
    listed = [entry.folder_name for entry in registry.LABS]
    if run.lab.folder_name not in listed:
        return ()
    here = listed.index(run.lab.folder_name)
    found: list[Neighbour] = []
    for place in (here - 1, here + 1):
        if 0 <= place < len(listed):
            entry = registry.LABS[place]
            report = f"{entry.folder_name}/{run.folder.name}/report.html"
            there = (run.folder.parent.parent / report).is_file()
            link = f"../../{quote(report)}" if there else f"{INDEX}#step-{entry.step}"
            found.append(Neighbour(entry.step, entry.summary, link, before=place < here))
    return tuple(found)
