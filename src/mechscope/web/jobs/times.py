"""How long a run is expected to take."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mechscope.labs.finished_runs import finished_runs
from mechscope.labs.registry import LabEntry
from mechscope.labs.run_page import read_page
from mechscope.labs.shown_run import SHIPPED
from mechscope.web.jobs.record import Budget


def expected_seconds(runs: Path, entry: LabEntry, budget: Budget) -> float | None:
    """Seconds that the latest finished run with this budget took, or else the one that comes with mechscope.

    None if neither is known.
    """
    try:
        found = [run for run in finished_runs(runs, entry) if run.found.budget == budget]
    except OSError:
        found = []
    return (
        found[0].found.seconds if found else _shipped_seconds(SHIPPED / f"{entry.folder_name}.json", budget)
    )


@cache
def _shipped_seconds(path: Path, budget: Budget) -> float | None:
    try:
        claims = read_page(path).claims
    except (OSError, ValueError):
        return None
    return claims.seconds if claims.budget == budget else None
