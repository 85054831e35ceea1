"""Draw the final figure of a unit with the learner's functions, in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mechscope.course.checking import references_of, unit_module
from mechscope.course.figure import UnitFigure
from mechscope.course.learner_file import (
    LearnerError,
    as_learner_error,
    functions_of,
    learner_line,
    parse,
    run_file,
)
from mechscope.course.result import FigureResult
from mechscope.course.unit import Unit
from mechscope.pages.figures import PageFigure, draw_figure

HEIGHT = 420
"""Pixels of a figure that does not say how high it is."""


def draw_with_file(unit: Unit, path: Path, passed: Set[str]) -> FigureResult:
    """Draw a unit's figure with functions of the learner's file.

    Args:
        unit: which one.
        path: the learner's file.
        passed: names of the functions to take from it; the reference stands for the others.
    """
    path = path.resolve()
    references = references_of(unit)
    used = unit_module(unit, "figure").USES
    yours = tuple(name for name in used if name in passed)
    try:
        functions = _functions(path, references, set(yours)) if yours else references
        figure = _draw(unit, functions, path, bool(yours))
    except LearnerError as error:
        return FigureResult(unit.id, "broken", error.problem, error.diagnosis, error.line, error.source)
    return as_result(unit, figure, yours)


def draw_with(unit: Unit, functions: Mapping[str, Callable[..., Any]], seed: int | None = None) -> UnitFigure:
    """Draw a unit's figure with given functions.

    Args:
        functions: exercise → function, for all exercises of the unit.
        seed: decides random numbers, for figures that take one.
    """
    draw = unit_module(unit, "figure").draw
    options = {} if seed is None else {"seed": seed}
    return draw(SimpleNamespace(**functions), **options)


def as_result(unit: Unit, figure: UnitFigure, yours: tuple[str, ...] = ()) -> FigureResult:
    """A figure as data.

    Args:
        yours: the names of the functions that are not references.
    """
    if figure.figure["layout"]["height"] is None:
        figure.figure.update_layout(height=HEIGHT)
    drawn = draw_figure(PageFigure(f"unit-{unit.id.lower()}", figure.figure, figure.caption))
    return FigureResult(
        unit=unit.id,
        status="drawn",
        yours=yours,
        references=tuple(name for name in unit_module(unit, "figure").USES if name not in yours),
        title=drawn.title,
        caption=drawn.caption,
        plot=drawn.plot,
        number=float(figure.number),
        number_is=figure.number_is,
        expected=figure.expected,
        is_reproduced=figure.is_reproduced,
    )


def _functions(
    path: Path, references: Mapping[str, Callable[..., Any]], passed: set[str]
) -> dict[str, Callable[..., Any]]:
    module = run_file(path, parse(path))
    functions_of(module, references, passed)
    if missing := [name for name in references if not callable(module.__dict__.get(name))]:
        raise LearnerError(f"{path.name} has no function {missing[0]} any more.")
    return {name: module.__dict__[name] for name in references}


def _draw(unit: Unit, functions: Mapping[str, Callable[..., Any]], path: Path, has_yours: bool) -> UnitFigure:
    try:
        figure = draw_with(unit, functions)
        number = float(figure.number)
    except BaseException as error:
        if learner_line(error, path)[0]:
            raise as_learner_error(error, path) from None
        if not has_yours or not isinstance(error, Exception):
            raise
        raise _unfit(unit, f"{type(error).__name__}: {error}") from None
    if not math.isfinite(number):
        raise _unfit(unit, f"the number is {number}")
    return figure


def _unfit(unit: Unit, problem: str) -> LearnerError:
    return LearnerError(
        f"The figure cannot be drawn with what your functions return ({problem}).",
        diagnosis=f"Check them again: `mechscope course check {unit.id} --again`.",
    )
