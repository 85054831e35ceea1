"""Run checks one after another, and record what each found and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from mechscope.tasks.task import Task
from mechscope.techniques.redteam._intervals import Bootstrap, Estimate
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
    """For a check that was not run: whether giving more input would make it possible."""


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


class Experiment:
    """What all checks share: model, task, seed, bootstrap, and a count of forward passes.

    One pass runs all prompts of the task; an intervention that resumes inside the model counts as one pass.
    """

    def __init__(self, model: HookedTransformer, task: Task, seed: int, n_null: int, progress: bool) -> None:
        self.model, self.task, self.seed, self.n_null, self.progress = model, task, seed, n_null, progress
        self.bootstrap = Bootstrap(seed)
        self.passes = 0.0

    def generator(self, stream: int) -> torch.Generator:
        """A generator for one check, independent of the draws of other checks."""
        return torch.Generator().manual_seed(self.seed * 1000 + stream)

    def run(self, steps: Sequence[Step]) -> tuple[Check, ...]:
        """Run all steps in order."""
        checks: list[Check] = []
        bar = tqdm(steps, desc="red team", disable=not self.progress)
        for step in bar:
            bar.set_postfix_str(step.name)
            before, start = self.passes, time.perf_counter()
            found = step.check()
            was_run = found.verdict != "not run"
            measured, null = found.measured, found.null
            checks.append(
                Check(
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
                    to_run=step.to_run if found.possible else "",
                    passes=self.passes - before if was_run else step.expected,
                    seconds=time.perf_counter() - start if was_run else 0.0,
                )
            )
        return tuple(checks)


def not_run(reason: str, possible: bool = True) -> Finding:
    """The finding of a check that was not run, and whether it could be."""
    return Finding("not run", reason, possible=possible)


def spread(draws: NDArray[np.float64]) -> Estimate:
    """The median and the middle 95 % of random draws."""
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return Estimate(float(middle), float(low), float(high))


def percent(value: float) -> str:
    """Format a share as a percentage."""
    return f"{value:.0%}"
