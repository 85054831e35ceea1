"""`mechscope course lint`: the proof that every check works."""

from __future__ import annotations

import time

from mechscope.cli.console import Terminal
from mechscope.cli.course.commands import Lint
from mechscope.cli.errors import user_errors
from mechscope.course.figure_lint import figure_faults_of
from mechscope.course.lint import SEEDS, counts, faults_of
from mechscope.course.unit import all_units, find_exercises


def run_lint(command: Lint) -> int:
    """Print every fault of the exercises, and the counts."""
    console = Terminal()
    with user_errors():
        exercises = find_exercises(command.what)
    begun, faults = time.monotonic(), 0
    for exercise in exercises:
        for fault in faults_of(exercise):
            faults += 1
            console.print(f"{exercise.id}: {fault}", markup=False)
    figures = [unit for unit in all_units() if unit.has_figure and set(unit.exercises) <= set(exercises)]
    for unit in figures:
        for fault in figure_faults_of(unit):
            faults += 1
            console.print(f"the figure of unit {unit.id}: {fault}", markup=False)
    seconds = time.monotonic() - begun
    console.print(
        f"{len(exercises)} exercises checked with {len(SEEDS)} seeds and {len(figures)} figures in {seconds:.0f} s: "
        f"{faults} faults."
    )
    found = counts()
    console.print(
        f"The course: {found.units} units, {found.exercises} exercises, {found.hints} hints, "
        f"{found.mistakes} mistakes, {found.named_mistakes} of which have a name."
    )
    return 1 if faults else 0
