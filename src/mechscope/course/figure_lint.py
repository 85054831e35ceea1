"""The proof that a unit's final figure reproduces its number with right functions, and not with wrong ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from mechscope.course.checking import code_of, references_of, unit_module
from mechscope.course.drawing import as_result, draw_with
from mechscope.course.figure import UnitFigure
from mechscope.course.learner_file import parse, run_file
from mechscope.course.reference_figures import FILE, reference_figure
from mechscope.course.unit import Unit

SEEDS = (1, 2, 3, 4)
"""Beside the one that a figure takes by itself."""
CLOSE = 0.1
"""How far the shipped number may be from what this machine computes, as a share of the expected range."""


def figure_faults_of(unit: Unit, seeds: Iterable[int] = SEEDS, *, every_function: bool = True) -> list[str]:
    """What is wrong with a unit's final figure, one sentence per fault; empty if it does what it must do.

    Args:
        seeds: further seeds to draw it with, if it takes one.
        every_function: whether to show for each function that a mistake in it changes the figure. Otherwise, it is
            enough that some mistake takes the number out of its range, which is found sooner.
    """
    module, references = unit_module(unit, "figure"), references_of(unit)
    if unknown := [name for name in module.USES if name not in references]:
        return [f"it uses {unknown[0]}, which is no exercise of the unit."]
    right = draw_with(unit, references)
    low, high = right.expected
    faults = _faults_of_number(right, "the references")
    if "seed" in inspect.signature(module.draw).parameters:
        for seed in seeds:
            faults += _faults_of_number(draw_with(unit, references, seed), f"the references and seed {seed}")
    shipped = reference_figure(unit)
    if shipped is None or abs(shipped.number - right.number) > CLOSE * (high - low):
        faults.append(
            f"{FILE} is missing or old: `python -m mechscope.course.reference_figures {unit.id}` writes it."
        )
    plain, is_noticed = as_result(unit, right).to_json(), False
    for name in module.USES:
        is_changed = not every_function
        if is_changed and is_noticed:
            break
        for mistake in code_of(unit.exercise(name)).mistakes:
            wrong = _with_mistake(unit, name, mistake.function)
            is_changed |= wrong is None or as_result(unit, wrong).to_json() != plain
            is_noticed |= wrong is None or not wrong.is_reproduced
            if is_changed and is_noticed:
                break
        if not is_changed:
            faults.append(f"no known mistake in {name} changes it.")
    if not is_noticed:
        faults.append("no known mistake takes the number out of its range.")
    return faults


def _faults_of_number(figure: UnitFigure, what: str) -> list[str]:
    if figure.is_reproduced:
        return []
    low, high = figure.expected
    return [f"the number is {figure.number:.4g} with {what}; {low:.4g} to {high:.4g} is expected."]


def _with_mistake(unit: Unit, name: str, mistake: Callable[..., Any]) -> UnitFigure | None:
    """The figure with one wrong function; None if that raises an error."""
    # Run anew, as the learner's file would be: there, functions that call each other find the wrong one.
    module = run_file(unit.reference, parse(unit.reference))
    module.__dict__[name] = mistake
    try:
        return draw_with(unit, {each.name: module.__dict__[each.name] for each in unit.exercises})
    except Exception:
        return None
