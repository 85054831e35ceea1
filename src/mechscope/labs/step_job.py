"""The experiment of a step as a job of the web lab."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from mechscope.labs.finished_runs import finished_runs
from mechscope.labs.registry import LabEntry, find_entry
from mechscope.labs.run_page import read_page
from mechscope.labs.shown_run import SHIPPED
from mechscope.pages.endpoints import Length
from mechscope.pages.jobs import JobKind
from mechscope.settings import Range, Settings

Budget = Literal["quick", "full"]
BUDGETS: tuple[Budget, ...] = ("quick", "full")
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
    """Which experiment to run. A run that was stopped goes on from its finished parts."""

    step: Annotated[str, Length(least=1, most=60)]
    """A step by number or name, such as 03 or induction."""
    budget: Budget = "quick"
    """quick: a few minutes, one seed. full: several seeds, and larger models in some steps."""
    seed: Annotated[int, Range(least=0, most=2**32 - 100)] = 0
    """The first seed."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""


def named_once(experiment: Experiment) -> Experiment:
    """The experiment with its step by name, so that "3" and "induction" are the same experiment.

    Raises:
        KeyError: if there is no such step.
    """
    return dataclasses.replace(experiment, step=find_entry(experiment.step).slug)


def run_arguments(experiment: Experiment, runs: Path) -> list[str]:
    """The arguments of `mechscope` that run an experiment, without those that are its defaults.

    >>> run_arguments(Experiment(step="induction", seed=2), Path("runs"))
    ['run', 'induction', '--seed', '2']
    """
    options = {
        "--budget": (experiment.budget, "quick"),
        "--seed": (str(experiment.seed), "0"),
        "--device": (experiment.device, "auto"),
        "--out": (str(runs), "runs"),
    }
    changed = [[name, value] for name, (value, default) in options.items() if value != default]
    return ["run", experiment.step, *(word for option in changed for word in option)]


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


STEP_JOB = JobKind(
    name="step",
    path="jobs",
    summary="Run the experiment of a step",
    settings=Experiment,
    checked=named_once,
    arguments=run_arguments,
    # One process: what a job starts is stopped with it either way, and pages stay quick.
    extra_arguments=("--jobs", "1"),
    expected_seconds=lambda experiment, runs: expected_seconds(
        runs, find_entry(experiment.step), experiment.budget
    ),
)
