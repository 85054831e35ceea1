"""Run several steps, one after another or in parallel, and report how each one ended."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from mechscope.labs.lab import Budget, LabRun
from mechscope.labs.registry import find_entry
from mechscope.labs.running import Preparation, prepare, run_in_held_folder
from mechscope.runs.parallel_runs import ParallelRun, RunResult, run_all
from mechscope.storage.folder_lock import hold_folder

STATUSES = ("pass", "fail", "not-run")


@dataclass(frozen=True)
class Finished:
    """How one step ended."""

    preparation: Preparation
    """What was to be done."""
    seconds: float = 0.0
    """Time that the work took."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Verdict → how many claims; empty if the step could not be finished."""
    unproven: tuple[tuple[str, str, str], ...] = ()
    """(verdict, claim, reason) of each claim that did not pass."""
    report: Path | None = None
    """The page to open."""
    problem: str = ""
    """Why the step could not be finished, in a sentence."""
    details: str = ""
    """The traceback, if the reason may be a defect of ours."""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end, whatever the verdicts."""
        return self.report is not None


@dataclass(frozen=True)
class _Summary:
    """What a finished step sends back from its process."""

    seconds: float
    counts: dict[str, int]
    unproven: tuple[tuple[str, str, str], ...]
    report: Path


def run_steps(
    preparations: Sequence[Preparation], jobs: int = 1, progress: bool | None = False
) -> Generator[Finished]:
    """Run prepared steps, `jobs` at once, and give each as it is done (see `mechscope.runs.parallel_runs.run_all`).

    No other process can write to the steps' folders meanwhile.

    Args:
        progress: bars: True, False, or None for "on a terminal".

    Raises:
        FolderInUseError: if another process uses one of their folders, before any work.
    """
    with ExitStack() as stack:
        # Check all steps first: nobody should find out after an hour that the second one cannot run.
        for preparation in preparations:
            stack.enter_context(hold_folder(preparation.folder))
        held = stack.pop_all()
    return _run_held(held, preparations, jobs, progress)


def _run_held(
    held: ExitStack, preparations: Sequence[Preparation], jobs: int, progress: bool | None
) -> Generator[Finished]:
    describe = _in_this_process if jobs == 1 else _in_its_own_process
    runs = [describe(preparation, progress) for preparation in preparations]
    with held, closing(run_all(runs, jobs, progress)) as results:
        for number, result in results:
            yield _finished(preparations[number], result)


def _in_this_process(preparation: Preparation, progress: bool | None) -> ParallelRun:
    return ParallelRun(preparation.lab.slug, _run_prepared, (preparation, progress))


def _in_its_own_process(preparation: Preparation, progress: bool | None) -> ParallelRun:
    # The lab is found again there, because functions cannot be sent.
    lab = preparation.lab
    out = preparation.folder.parent.parent
    device = preparation.device.type
    what = (find_entry(lab.slug).package, preparation.budget, preparation.seeds[0], out, device)
    return ParallelRun(lab.slug, _find_and_run, (*what, progress, f"{lab.step} "))


def _run_prepared(preparation: Preparation, progress: bool | None, *, line: int | None) -> _Summary:
    return _summary(run_in_held_folder(preparation, progress, line))


def _find_and_run(
    package: str,
    budget: Budget,
    seed: int,
    out: Path,
    device: str,
    progress: bool | None,
    label: str,
    *,
    line: int | None,
) -> _Summary:
    lab = importlib.import_module(package).LAB
    preparation = prepare(lab, budget, seed, out, device)
    return _summary(run_in_held_folder(preparation, progress, line, label))


def _summary(run: LabRun) -> _Summary:
    unproven = [each for each in run.claims if each.status != "pass"]
    return _Summary(
        run.seconds,
        {status: run.count(status) for status in STATUSES},
        tuple((each.status, each.claim.id, each.reason) for each in unproven),
        run.report,
    )


def _finished(preparation: Preparation, result: RunResult) -> Finished:
    if result.problem:
        return Finished(preparation, problem=result.problem, details=result.details)
    summary: _Summary = result.value
    return Finished(preparation, summary.seconds, summary.counts, summary.unproven, summary.report)
