"""The starter of a problem: load it, run it, and keep what it measured with the catalogue."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mechscope.problems.measurement import FILE, MOST_BYTES, Measurement, read_measurement, write_measurement

if TYPE_CHECKING:
    from mechscope.problems.problem import Problem
    from mechscope.problems.starting_point import StartingPoint

FUNCTION = "starting_point"


def starter_source(problem: Problem) -> str:
    """The code of the starter."""
    return problem.starter.read_text(encoding="utf-8")


def starter_of(problem: Problem) -> Callable[..., StartingPoint]:
    """The function `starting_point` of the starter, which takes a seed.

    >>> from mechscope.problems.listing import find_problem
    >>> starter_of(find_problem("memory-after-grokking")).__name__
    'starting_point'

    Raises:
        ValueError: if the script defines no such function.
    """
    name = f"mechscope.problems.catalogue.{problem.slug}"
    spec = importlib.util.spec_from_file_location(name, problem.starter)
    assert spec is not None and spec.loader is not None, problem.starter
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    found = vars(module).get(FUNCTION)
    if found is None:
        raise ValueError(
            f"{problem.starter} defines no function {FUNCTION}(seed), which measures the baseline."
        )
    return found


def shipped_measurement(problem: Problem) -> Measurement | None:
    """What the starter measured when the problem was last drawn; None if the starter is new or has changed since."""
    path = problem.folder / FILE
    if not path.is_file():
        return None
    found = read_measurement(path)
    return found if found.is_of(problem.starter) else None


def ship_measurement(problem: Problem, seed: int = 0) -> int:
    """Run the starter and keep what it measured beside it.

    Returns:
        The size in bytes.

    Raises:
        ValueError: if the figure is too large for a page.
    """
    found = starter_of(problem)(seed)
    return write_measurement(
        problem.folder / FILE, found.baseline, seed, found.drawn(), starter_source(problem), MOST_BYTES
    )
