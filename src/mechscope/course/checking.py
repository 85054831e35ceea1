"""Check one function of the learner's file in this process."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mechscope.course.learner_file import (
    LearnerError,
    as_learner_error,
    functions_of,
    learner_line,
    parse,
    run_file,
)
from mechscope.course.result import CheckResult
from mechscope.course.static_check import broken, result_without_running
from mechscope.course.trial import CheckFailedError, Mistake, Trial
from mechscope.course.unit import Exercise, Unit, find_unit


@dataclass(frozen=True)
class ExerciseCode:
    """The code that belongs to an exercise."""

    reference: Callable[..., Any]
    """The right function."""
    check: Callable[[Trial], None]
    """Its check."""
    mistakes: tuple[Mistake, ...]
    """Known wrong functions."""


def references_of(unit: Unit) -> dict[str, Callable[..., Any]]:
    """Exercise → the right function."""
    module = unit_module(unit, "reference")
    return {exercise.name: getattr(module, exercise.name) for exercise in unit.exercises}


def code_of(exercise: Exercise) -> ExerciseCode:
    """The reference, the check and the known mistakes of an exercise."""
    unit = find_unit(exercise.unit)
    checks, mistakes = unit_module(unit, "checks"), unit_module(unit, "mistakes")
    return ExerciseCode(
        reference=references_of(unit)[exercise.name],
        check=getattr(checks, f"check_{exercise.name}"),
        mistakes=tuple(mistakes.MISTAKES[exercise.name]),
    )


def check_file(exercise: Exercise, path: Path, seed: int, passed: set[str]) -> CheckResult:
    """Check a function in the learner's file.

    Args:
        exercise: which one.
        path: the learner's file.
        seed: decides the inputs.
        passed: names of the unit's functions that have passed; the reference stands for the others.
    """
    path = path.resolve()
    if early := result_without_running(exercise, path, seed):
        return early
    begun = time.perf_counter()
    try:
        module = run_file(path, parse(path))
        function = module.__dict__[exercise.name]
        if not callable(function):
            raise LearnerError(
                f"{exercise.name} is not a function any more: something below it has the same name."
            )
        references = references_of(find_unit(exercise.unit))
        functions_of(module, references, passed | {exercise.name})
        return check_function(exercise, function, seed, path)
    except LearnerError as error:
        return broken(exercise, error, seed, time.perf_counter() - begun)


def check_function(
    exercise: Exercise,
    function: Callable[..., Any],
    seed: int,
    path: Path | None = None,
) -> CheckResult:
    """Check a function.

    Args:
        exercise: which one it is meant for.
        function: the function.
        seed: decides the inputs.
        path: the learner's file, whose lines errors name.

    Raises:
        LearnerError: if the function raises an error.
    """
    code = code_of(exercise)
    trial = Trial(function, code.reference, code.mistakes, seed)
    begun = time.perf_counter()
    try:
        code.check(trial)
    except CheckFailedError as failed:
        return CheckResult(
            exercise.id,
            "failed",
            seed,
            time.perf_counter() - begun,
            failed.problem,
            failed.diagnosis,
            failed.call,
        )
    except LearnerError:
        raise
    except BaseException as error:
        if path is None or not learner_line(error, path)[0]:
            # A fault of the check itself must not look like one of the learner's.
            raise
        raise as_learner_error(error, path) from None
    seconds = time.perf_counter() - begun
    return CheckResult(exercise.id, "passed", seed, seconds, notes=tuple(trial.notes))


def unit_module(unit: Unit, name: str) -> ModuleType:
    """One of the modules in a unit's folder: reference, checks, mistakes or figure."""
    return importlib.import_module(f"mechscope.course.units.{unit.folder.name}.{name}")
