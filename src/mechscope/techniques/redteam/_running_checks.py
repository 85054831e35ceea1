"""Run checks one after another, say beforehand how long they take, and record what each found and what it cost."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from mechscope.pages.formatting import duration
from mechscope.tasks.task import Task
from mechscope.techniques.redteam._intervals import FEWEST_DRAWS, FLOOR, SIGNIFICANT, Bootstrap, Estimate
from mechscope.techniques.redteam.evidence import Check, Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Finding:
    """What a check found; `Experiment.run` adds its name and its cost."""

    verdict: Verdict
    reason: str
    measured: Estimate | None = None
    unit: str = ""
    null: Estimate | None = None
    null_name: str = ""
    p: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    possible: bool = True
    """For a check that was not run or was inconclusive: whether something can be done about it."""
    advice: str = ""
    """What to do about it, if that is not what the step says."""


@dataclass(frozen=True)
class Step:
    """A planned check."""

    name: str
    question: str
    check: Callable[[], Finding]
    to_run: str
    """What to do if the check was not run or was inconclusive."""
    expected: float = 1.0
    """Estimated forward passes, reported if the check is not run."""
    work: float | None = None
    """How many full passes these amount to, since interventions resume inside the model; 0 for a check that will not
    run, None for as many as expected."""

    @property
    def full_passes(self) -> float:
        """The work, in full passes."""
        return self.expected if self.work is None else self.work


class Plan(Protocol):
    """The checks of one kind of hypothesis."""

    @property
    def premise_fails(self) -> str:
        """Why the checks after the first have nothing to measure; empty if they have."""
        ...

    def first_pass(self) -> float:
        """Run what all checks need; how many full passes that amounted to."""
        ...

    def steps(self) -> list[Step]:
        """The checks in order."""
        ...


WORTH_DETAILS = 20
"""Seconds from which on it is said which check takes longest."""
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Experiment:
    """What all checks share: model, task, seed, bootstrap, and a count of forward passes.

    One pass runs all prompts of the task; an intervention that resumes inside the model counts as one pass.
    """

    def __init__(self, model: HookedTransformer, task: Task, seed: int, n_null: int, progress: bool) -> None:
        self.model, self.task, self.seed, self.n_null, self.progress = model, task, seed, n_null, progress
        self.bootstrap = Bootstrap(seed)
        self.passes = 0.0
        self._bar: Any = None
        self._step: Step | None = None
        self._end = 0.0

    def generator(self, stream: int) -> torch.Generator:
        """A generator for one check, independent of the draws of other checks."""
        return torch.Generator().manual_seed(self.seed * 1000 + stream)

    def run(self, plan: Plan, skip: Collection[str] = ()) -> tuple[Check, ...]:
        """Run all checks in order except those to skip, after saying how long they will take.

        Raises:
            KeyError: for an unknown name to skip.
        """
        steps = [_left_out(step) if step.name in skip else step for step in plan.steps()]
        names = [step.name for step in steps]
        for name in skip:
            if name not in names:
                raise KeyError(f"there is no check {name!r} to skip; there are {', '.join(names)}.")
        before, start = self.passes, time.perf_counter()
        fails = plan.premise_fails
        per_pass = 0.0
        if not fails:
            work = plan.first_pass()
            per_pass = (time.perf_counter() - start) / max(work, 1e-9)
        checks: list[Check] = []
        done = 0.0
        total = sum(step.full_passes for step in steps)
        if self.progress and not fails:
            tqdm.write(self._announcement(steps, per_pass), file=sys.stderr)
        self._bar = tqdm(total=total, desc="red team", disable=not self.progress, bar_format=BAR)
        with self._bar:
            for step in steps:
                self._bar.set_postfix_str(step.name)
                self._step, self._end = step, done + step.full_passes
                blocked = fails and step is not steps[0] and step.name not in skip
                found = Finding("inconclusive", fails, possible=False) if blocked else step.check()
                # The first check pays for what all of them need.
                checks.append(_as_check(step, found, self.passes - before, time.perf_counter() - start))
                before, start, done = self.passes, time.perf_counter(), self._end
                self._bar.update(done - self._bar.n)
        return tuple(checks)

    def advance(self, runs: float) -> None:
        """Move the progress bar on by some of the running check's passes."""
        if self._bar is not None and self._step is not None:
            share = runs / max(self._step.expected, 1) * self._step.full_passes
            self._bar.update(max(0.0, min(share, self._end - self._bar.n)))

    def _announcement(self, steps: Sequence[Step], per_pass: float) -> str:
        running = [step for step in steps if step.full_passes]
        passes = sum(step.expected for step in running)
        work = sum(step.full_passes for step in running)
        longest = max(running, key=lambda step: step.full_passes, default=steps[0])
        text = (
            f"red team: the checks run {self.task.n_examples} prompts {passes:.0f} times, which amounts to {work:.0f} "
            f"full passes and takes about {duration(max(1.0, work * per_pass))}"
        )
        if work * per_pass > WORTH_DETAILS:
            text += f", of which {longest.name!r} takes {duration(longest.full_passes * per_pass)}"
        return text + "."


def _left_out(step: Step) -> Step:
    to_run = f"Run it: leave {step.name!r} out of skip=…."
    return dataclasses.replace(step, check=lambda: not_run("It was skipped."), to_run=to_run, work=0.0)


def _as_check(step: Step, found: Finding, passes: float, seconds: float) -> Check:
    was_run = found.verdict != "not run"
    measured, null = found.measured, found.null
    return Check(
        step.name,
        step.question,
        found.verdict,
        found.reason,
        measured=None if measured is None else measured.value,
        low=None if measured is None else measured.low,
        high=None if measured is None else measured.high,
        unit=found.unit,
        null=None if null is None else null.value,
        null_low=None if null is None else null.low,
        null_high=None if null is None else null.high,
        null_name=found.null_name,
        p=found.p,
        details=found.details,
        to_run=(found.advice or step.to_run) if found.possible else "",
        passes=passes if was_run else step.expected,
        seconds=seconds if was_run else 0.0,
    )


def not_run(reason: str, possible: bool = True) -> Finding:
    """The finding of a check that was not run, and whether it could be."""
    return Finding("not run", reason, possible=possible)


def spread(draws: NDArray[np.float64]) -> Estimate:
    """The median and the middle 95 % of random draws."""
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return Estimate(float(middle), float(low), float(high))


def percent(value: float, digits: int = 0) -> str:
    """Format a share as a percentage; never as -0%."""
    return f"{round(value, 2 + digits) + 0.0:.{digits}%}"


def too_few_draws(n_draws: int) -> str:
    """Why so few random draws decide nothing; empty if they are enough."""
    if n_draws >= FEWEST_DRAWS:
        return ""
    return (
        f" {n_draws} random draws decide nothing: their p-value cannot be below {1 / (n_draws + 1):.2g}. Take at least "
        f"{FEWEST_DRAWS}."
    )


def clearly_beaten(shares: NDArray[np.float64]) -> bool:
    """Whether a claim at the floor does worse than random draws: so many are above the floor that p exceeds 0.1.

    Draws at the floor are ties with it, whatever their order.
    """
    above = int((shares > FLOOR).sum())
    return above > 0 and (1 + above) / (1 + len(shares)) > 2 * SIGNIFICANT
