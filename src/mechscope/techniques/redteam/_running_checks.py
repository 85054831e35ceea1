"""Climbing: run one check after another, count what each costs, and turn findings into rungs."""

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
from mechscope.techniques.redteam.evidence import Rung, Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Finding:
    """What a check found; the ladder adds its name and its cost."""

    verdict: Verdict
    reason: str
    measured: Estimate | None = None
    unit: str = ""
    null: Estimate | None = None
    null_name: str = ""
    p: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    possible: bool = True
    """Whether there is a way to make the check that could not be made."""


@dataclass(frozen=True)
class Step:
    """A check that is planned."""

    name: str
    question: str
    check: Callable[[], Finding]
    to_run: str
    """What to run where the check was not, or where it stayed open."""
    expected: float = 1.0
    """Forward passes that it takes, told where it is not run."""


class Bench:
    """What all checks share: the model, the task, seeds, intervals, and the count of forward passes.

    A pass is one forward run of all the task's prompts; an intervention that resumes half-way counts as one.
    """

    def __init__(self, model: HookedTransformer, task: Task, seed: int, n_null: int, progress: bool) -> None:
        self.model, self.task, self.seed, self.n_null, self.progress = model, task, seed, n_null, progress
        self.bootstrap = Bootstrap(seed)
        self.passes = 0.0

    def generator(self, stream: int) -> torch.Generator:
        """Random numbers for one check, whatever other checks draw."""
        return torch.Generator().manual_seed(self.seed * 1000 + stream)

    def climb(self, steps: Sequence[Step]) -> tuple[Rung, ...]:
        """Every step, in order."""
        rungs: list[Rung] = []
        bar = tqdm(steps, desc="red team", disable=not self.progress)
        for step in bar:
            bar.set_postfix_str(step.name)
            before, start = self.passes, time.perf_counter()
            found = step.check()
            run = found.verdict != "not run"
            measured, null = found.measured, found.null
            rungs.append(
                Rung(
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
                    passes=self.passes - before if run else step.expected,
                    seconds=time.perf_counter() - start if run else 0.0,
                )
            )
        return tuple(rungs)


def not_run(reason: str, possible: bool = True) -> Finding:
    """A check that was not made, and whether it could be."""
    return Finding("not run", reason, possible=possible)


def spread(draws: NDArray[np.float64]) -> Estimate:
    """Median of random draws, and their lowest and highest 2.5 %."""
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return Estimate(float(middle), float(low), float(high))


def percent(value: float) -> str:
    """A share in words."""
    return f"{value:.0%}"
