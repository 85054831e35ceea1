"""What reading the learner's file says about an exercise, without torch and without running anything."""

from __future__ import annotations

from pathlib import Path

from mechscope.course.learner_file import LearnerError, check_function_is_there, is_empty, parse
from mechscope.course.result import CheckResult
from mechscope.course.unit import Exercise


def result_without_running(exercise: Exercise, path: Path, seed: int) -> CheckResult | None:
    """The result if the file is missing, is not valid Python, lacks the function, or if its body is still empty.

    Returns:
        None if the function has to be run.
    """
    try:
        node = check_function_is_there(path, parse(path), exercise.name)
    except LearnerError as error:
        return broken(exercise, error, seed)
    return CheckResult(exercise.id, "not-started", seed, line=node.lineno) if is_empty(node) else None


def broken(exercise: Exercise, error: LearnerError, seed: int, seconds: float = 0.0) -> CheckResult:
    """The result if the learner's file or function raised an error."""
    return CheckResult(
        exercise.id,
        "broken",
        seed,
        seconds,
        error.problem,
        error.diagnosis,
        line=error.line,
        source=error.source,
    )
