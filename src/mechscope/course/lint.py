"""The proof that every check works, for authors: run it on the reference, on every known mistake, and on functions
that do nothing useful."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mechscope.course.checking import ExerciseCode, check_function, code_of
from mechscope.course.comparison import ORDINALS
from mechscope.course.learner_file import function_node, is_empty
from mechscope.course.result import CheckResult
from mechscope.course.template import template_of
from mechscope.course.unit import Exercise, Unit, all_units, find_unit
from mechscope.pages.python_source import parse_python

SEEDS = (0, 1, 2, 3, 4)
SEEDS_OF_SLOW_MISTAKES = 2
"""How many of the seeds the mistakes of an exercise that trains are tried with."""
FEWEST_MISTAKES = 3
UNNAMED = re.compile(rf"The ({'|'.join(ORDINALS)}) value of ")


@dataclass(frozen=True)
class Counts:
    """What the course consists of."""

    units: int
    exercises: int
    hints: int
    mistakes: int
    named_mistakes: int


def counts(units: Sequence[Unit] | None = None) -> Counts:
    """How many units, exercises, hints and mistakes there are."""
    units = all_units() if units is None else units
    exercises = [exercise for unit in units for exercise in unit.exercises]
    mistakes = [mistake for exercise in exercises for mistake in code_of(exercise).mistakes]
    return Counts(
        units=len(units),
        exercises=len(exercises),
        hints=sum(len(exercise.hints) for exercise in exercises),
        mistakes=len(mistakes),
        named_mistakes=sum(bool(mistake.diagnosis) for mistake in mistakes),
    )


def faults_of(
    exercise: Exercise, seeds: Sequence[int] = SEEDS, seeds_of_mistakes: Sequence[int] | None = None
) -> list[str]:
    """What is wrong with an exercise, one sentence per fault; empty if its check does what a check must do.

    Args:
        exercise: which one.
        seeds: of the reference's runs.
        seeds_of_mistakes: of each mistake's runs; None means the same, or the first two for an exercise that trains.
    """
    code = code_of(exercise)
    faults: list[str] = []
    for seed in seeds:
        result = _run(exercise, code.reference, seed)
        if result.status != "passed":
            faults.append(f"the reference fails with seed {seed}: {result.problem}")
    if len(code.mistakes) < FEWEST_MISTAKES:
        faults.append(f"it has {len(code.mistakes)} known mistakes; at least {FEWEST_MISTAKES} are expected.")
    some = seeds[:SEEDS_OF_SLOW_MISTAKES] if exercise.is_slow else seeds
    some = some if seeds_of_mistakes is None else seeds_of_mistakes
    for mistake in code.mistakes:
        faults += _faults_of_mistake(exercise, mistake.function, mistake.diagnosis, some)
    for name, function in impostors(code).items():
        result = _run(exercise, function, 0)
        if result.status == "passed":
            faults.append(f"it passes a function that {name}.")
        if UNNAMED.match(result.problem) and _returns_a_tuple(code):
            faults.append(f"it has no names for the values that are returned: {result.problem}")
    if not _template_is_empty(exercise):
        faults.append("the learner's file has its body already.")
    return faults


def _faults_of_mistake(
    exercise: Exercise, function: Callable[..., Any], diagnosis: str, seeds: Iterable[int]
) -> list[str]:
    name = getattr(function, "__name__", "a mistake").strip("_")
    faults: list[str] = []
    for seed in seeds:
        result = _run(exercise, function, seed)
        if result.status == "passed":
            faults.append(f"it passes the mistake {name} with seed {seed}.")
        elif diagnosis and diagnosis not in (result.problem, result.diagnosis):
            said = result.diagnosis or result.problem
            faults.append(f"it does not name the mistake {name} with seed {seed}, but says: {said}")
    return faults


def impostors(code: ExerciseCode) -> dict[str, Callable[..., Any]]:
    """Functions that do nothing useful: what they do, in words → the function."""
    generator = torch.Generator().manual_seed(0)

    def random(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if isinstance(value, Tensor):
            return torch.randint(0, 5, value.shape, generator=generator).to(value.dtype)
        if isinstance(value, bool):
            return bool(torch.randint(0, 2, (), generator=generator))
        if isinstance(value, int):
            return int(torch.randint(0, 100, (), generator=generator))
        if isinstance(value, float):
            return float(torch.randn((), generator=generator))
        # Text, models and whatever else: of the right kind, and of no use.
        return "random" if isinstance(value, str) else None

    def zero(value: Any) -> Any:
        return torch.zeros_like(value) if isinstance(value, Tensor) else type(value)()

    def mapped(change: Callable[[Any], Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **options: Any) -> Any:
            return inside(code.reference(*arguments, **options))

        def inside(answer: Any) -> Any:
            if isinstance(answer, tuple | list):
                return type(answer)(map(inside, answer))
            if isinstance(answer, dict):
                return {name: inside(value) for name, value in answer.items()}
            return change(answer)

        return function

    return {
        "returns nothing": lambda *arguments, **options: None,
        "returns its first argument": lambda *arguments, **options: arguments[0],
        "returns zeros": mapped(zero),
        "returns random numbers of the right shape": mapped(random),
    }


def _run(exercise: Exercise, function: Callable[..., Any], seed: int) -> CheckResult:
    # A wrapper with the reference's arguments, since the check looks at them.
    code = code_of(exercise)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    wrapped.__signature__ = inspect.signature(code.reference)  # type: ignore[attr-defined]
    try:
        return check_function(exercise, wrapped, seed)
    except Exception as error:
        return CheckResult(exercise.id, "broken", seed, problem=f"{type(error).__name__}: {error}")


def _returns_a_tuple(code: ExerciseCode) -> bool:
    """Whether the function returns several things, of which each has a meaning of its own."""
    annotation = str(inspect.signature(code.reference).return_annotation)
    return annotation.startswith("tuple[") and "..." not in annotation


def _template_is_empty(exercise: Exercise) -> bool:
    node = function_node(parse_python(template_of(find_unit(exercise.unit))), exercise.name)
    return node is not None and is_empty(node)
