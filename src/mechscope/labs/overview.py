"""The six steps, each with the reader's latest run of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mechscope.labs.finished_runs import FoundRun, find_runs, seeds_in_words
from mechscope.labs.registry import LABS, LabEntry


@dataclass(frozen=True)
class StepOverview:
    """A step, and what has been run of it."""

    entry: LabEntry
    """The step."""
    run: FoundRun | None
    """The latest run, which may be damaged; None if there is none."""
    problem: str = ""
    """Why the folder of its runs cannot be read; usually empty."""

    @property
    def seeds(self) -> str:
        """The seeds of the run in words."""
        return "" if self.run is None or self.run.found is None else seeds_in_words(self.run.found.seeds)


def overview(runs: Path | None) -> list[StepOverview]:
    """Every step with its latest run.

    Args:
        runs: the folder of runs, which may be missing; None for a site that shows none.
    """
    return [_of(runs, entry) for entry in LABS]


def _of(runs: Path | None, entry: LabEntry) -> StepOverview:
    if runs is None:
        return StepOverview(entry, None)
    try:
        return StepOverview(entry, next(iter(find_runs(runs, entry)), None))
    except OSError as error:
        return StepOverview(entry, None, str(error))
