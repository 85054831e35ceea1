"""What the cells of a unit's notebook call: check a function that the notebook has defined, and show hints.

    from mechscope.course.notebook import check, hint, solution

    check(softmax_gradient)

A check runs in a process of its own, as it does from the terminal: with the same inputs and limits, and whatever the
function does, the notebook goes on. Progress is kept where the terminal keeps it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from mechscope.course.executed_cells import FunctionSource, executed_cells, file_source_of, source_of
from mechscope.course.notebook_display import shown_hint, shown_result, shown_solution
from mechscope.course.progress import Progress, state_of
from mechscope.course.result import CheckResult
from mechscope.course.runner import CheckRunner
from mechscope.course.session import CourseSession
from mechscope.course.template import solution as solution_text
from mechscope.course.terminal import SOLUTION
from mechscope.course.unit import Exercise, find_exercises, find_unit
from mechscope.pages.notebook import Shown


@dataclass(frozen=True)
class Checked(Shown):
    """What a check found, as a notebook shows it."""

    result: CheckResult | None = None
    """The same as data."""

    @property
    def passed(self) -> bool:
        """Whether the function passed."""
        return self.result is not None and self.result.status == "passed"


def check(function: Callable[..., Any] | str, seed: int | None = None) -> Checked:
    """Check the function of an exercise as it stands in this notebook, and keep the outcome.

    Args:
        function: the function, or the name of its exercise.
        seed: decides the check's inputs; None draws one.

    Raises:
        KeyError: if no exercise has this name.
        ValueError: if neither a cell that was run nor a file defines the function.
    """
    exercise = _exercise(function)
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="mechscope-") as folder:
        session = CourseSession(Path(folder), progress)
        session.runner = _runner()
        source = _source(exercise, function, session, executed_cells())
        session.path(exercise).write_text(source.text, encoding="utf-8")
        if exercise.is_slow:
            Console(highlight=False, force_jupyter=False).print(
                f"Checking {exercise.id}, which may take up to {exercise.seconds:.0f} seconds …"
            )
        result = session.check(exercise, seed)
        following = session.next_exercise()
    if source.lines:
        result = dataclasses.replace(result, line=source.cell_line(result.line))
    unit = find_unit(exercise.unit)
    states = progress.states()
    is_end = result.status == "passed" and all(state_of(states, each).is_done for each in unit.exercises)
    shown = shown_result(result, exercise, following, unit.next if is_end else "", progress.warning)
    return Checked(shown.plain, html=shown.html, result=result)


def hint(function: Callable[..., Any] | str) -> Shown:
    """Show the next hint for an exercise: a nudge, then the shapes, then half of it.

    Raises:
        KeyError: if no exercise has this name.
    """
    exercise = _exercise(function)
    progress = Progress()
    level = min(progress.state(exercise.id).hints + 1, len(exercise.hints))
    progress.record_hint(exercise.id, level)
    return shown_hint(exercise, level)


def solution(function: Callable[..., Any] | str, now: bool = False) -> Shown:
    """Show a solution, once you have tried the exercise.

    Args:
        function: the function, or the name of its exercise.
        now: show it although you have not tried.

    Raises:
        KeyError: if no exercise has this name.
    """
    exercise = _exercise(function)
    progress = Progress()
    if not now and progress.state(exercise.id).attempts == 0:
        return Shown(
            f"You have not tried {exercise.id} yet. hint({exercise.name}) helps without giving it away; "
            f"solution({exercise.name}, now=True) shows it at once."
        )
    progress.record_hint(exercise.id, SOLUTION)
    return shown_solution(exercise, solution_text(find_unit(exercise.unit), exercise.name))


@cache
def _runner() -> CheckRunner:
    """One for the whole notebook, whose server process starts with the first check."""
    return CheckRunner()


def _exercise(function: Callable[..., Any] | str) -> Exercise:
    name = function if isinstance(function, str) else getattr(function, "__name__", repr(function))
    found = find_exercises(name)
    if len(found) > 1:
        raise KeyError(f"{name!r} names {len(found)} exercises: name one, such as {found[0].id!r}.")
    return next(iter(found))


def _source(
    exercise: Exercise, function: Callable[..., Any] | str, session: CourseSession, cells: Sequence[str]
) -> FunctionSource:
    """The function with what it needs; references stand for the unit's functions that the learner has not finished."""
    unit = find_unit(exercise.unit)
    others = [each for each in unit.exercises if each.name != exercise.name]
    replaced = [each.name for each in others if not _is_finished(each, session, cells)]
    module = f"mechscope.course.units.{unit.folder.name}.reference"
    preamble = [f"from {module} import {', '.join(replaced)}"] if replaced else []
    found = source_of(exercise.name, cells, replaced, preamble)
    if found is not None:
        return found
    if not isinstance(function, str) and (text := file_source_of(function)) is not None:
        return FunctionSource(text, ())
    raise ValueError(
        f"no cell that was run defines {exercise.name}. Run the cell with `def {exercise.name}(…)`, then this one."
    )


def _is_finished(exercise: Exercise, session: CourseSession, cells: Sequence[str]) -> bool:
    """Whether the notebook's version of a function is the one that passed."""
    own = source_of(exercise.name, cells)
    if own is None:
        return False
    session.path(exercise).write_text(own.text, encoding="utf-8")
    return session.is_finished(exercise)
