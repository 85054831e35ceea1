"""What the course prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rich.console import Console, Group
from rich.markdown import Markdown
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from mechscope.course.progress import ExerciseState, state_of
from mechscope.course.result import CheckResult, FigureResult
from mechscope.course.unit import PLACE, Exercise, Unit

MARKS = {"passed": ("✓", "green"), "skipped": ("→", "cyan"), "tried": ("·", "yellow"), "new": (" ", "dim")}
HINT_TITLES = ("A nudge", "The shapes", "Half of it")
SOLUTION = 4
"""The level of hints that is the solution."""


def show_result(
    console: Console, result: CheckResult, exercise: Exercise, following: Exercise | None
) -> None:
    """Print what a check found, and what to do next.

    Args:
        following: the exercise to go on with after a success; None at the end of the course.
    """
    if result.status == "passed":
        console.print(Text.assemble(("✓ ", "bold green"), (exercise.id, "bold"), f"  {exercise.title}"))
        for note in result.notes:
            console.print(Text(f"  {note}"))
        _show_printed(console, result)
        if following is not None:
            console.print(Text(f"  Next: {following.id}  {following.title}", "dim"))
        else:
            console.print("  That was the last exercise. Well done!")
        return
    if result.status == "not-started":
        console.print(
            Text.assemble(("· ", "yellow"), (exercise.id, "bold"), f"  {exercise.title}: not begun yet")
        )
        return
    console.print(Text.assemble(("✗ ", "bold red"), (exercise.id, "bold"), f"  {exercise.title}"))
    console.print(_problem_panel(result, f"called as {result.call}" if result.call else ""))
    _show_printed(console, result)
    again = f"mechscope course check {exercise.id} --seed {result.seed}"
    console.print(
        Text(f"  The same inputs again: {again}\n  Stuck? mechscope course hint {exercise.id}", "dim")
    )


def _problem_panel(result: CheckResult | FigureResult, call: str = "") -> Panel:
    lines: list[Text] = [Text(result.problem)]
    if result.diagnosis:
        lines.append(Text(result.diagnosis, "bold"))
    if result.line:
        lines.append(Text.assemble((f"line {result.line}: ", "dim"), result.source))
    if call:
        lines.append(Text(call, "dim"))
    return Panel(Group(*lines), border_style="red", expand=False)


def _show_printed(console: Console, result: CheckResult | FigureResult) -> None:
    if result.printed.strip():
        console.print(
            Panel(Text(result.printed.rstrip()), title="your code printed", border_style="dim", expand=False)
        )


def show_list(
    console: Console,
    exercises: Iterable[Exercise],
    states: Mapping[str, ExerciseState],
    minutes: Mapping[str, float],
) -> None:
    """Print exercises with their state.

    Args:
        minutes: as `Progress.minutes`.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("", "exercise", "about", "tries", "hints", "your time"):
        table.add_column(heading, overflow="fold")
    for exercise in exercises:
        state = state_of(states, exercise)
        mark, style = MARKS[state.name]
        solution = "solution" if state.hints == SOLUTION else str(state.hints or "")
        tries, time = str(state.attempts or ""), _duration(minutes.get(exercise.id, 0.0))
        table.add_row(Text(mark, style), exercise.id, exercise.title, tries, solution, time)
    console.print(table)


def show_status(
    console: Console,
    units: Iterable[Unit],
    states: Mapping[str, ExerciseState],
    following: Exercise | None,
    minutes: Mapping[str, float],
) -> None:
    """Print how far the learner is in each unit, and how long it took so far.

    Args:
        minutes: as `Progress.minutes`.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("unit", "", "done", "your time", "title"):
        table.add_column(heading, overflow="fold")
    for unit in units:
        done = sum(state_of(states, exercise).is_done for exercise in unit.exercises)
        whole = len(unit.exercises)
        bar = Text("█" * round(10 * done / whole), "green") + Text(
            "░" * (10 - round(10 * done / whole)), "dim"
        )
        spent = _duration(sum(minutes.get(exercise.id, 0.0) for exercise in unit.exercises))
        table.add_row(unit.id, bar, f"{done}/{whole}", spent, unit.title)
    console.print(table)
    if following is not None:
        console.print(Text(f"Next: {following.id}  {following.title}", "bold"))


def _duration(minutes: float) -> str:
    """Minutes in words: "1 h 05 min"; empty below half a minute."""
    hours, rest = divmod(round(minutes), 60)
    return (f"{hours} h {rest:02d} min" if hours else f"{rest} min") if hours or rest else ""


def show_hint(console: Console, exercise: Exercise, level: int) -> None:
    """Print one hint.

    Args:
        level: 1 for the nudge, 2 for the shapes, 3 for half of it.
    """
    title = HINT_TITLES[level - 1]
    text = exercise.hints[level - 1]
    body = Syntax(text, "python", theme="ansi_dark") if level == len(exercise.hints) else Text(text)
    console.print(Panel(body, title=f"{title} · {exercise.id}", border_style="cyan", expand=False))
    if level < len(exercise.hints):
        console.print(Text("  Ask again for the next hint.", "dim"))
    else:
        console.print(
            Text(f"  After this only the solution is left: mechscope course solution {exercise.id}", "dim")
        )


def show_solution(console: Console, exercise: Exercise, solution: str) -> None:
    """Print the solution."""
    syntax = Syntax(solution.rstrip(), "python", theme="ansi_dark", word_wrap=True)
    console.print(Panel(syntax, title=f"A solution · {exercise.id}", border_style="cyan", expand=False))


def show_figure(console: Console, unit: Unit, result: FigureResult) -> None:
    """Print what the final figure of a unit came to."""
    if result.status == "drawn":
        mark, style = ("✓", "bold green") if result.is_reproduced else ("✗", "bold red")
        console.print(Text.assemble((f"{mark} ", style), (f"Unit {unit.id}  ", "bold"), result.title))
        console.print(f"  {result.number_in_words}", markup=False)
        console.print(Text(f"  {result.functions_in_words}", "dim"))
    else:
        console.print(Text.assemble(("✗ ", "bold red"), (f"Unit {unit.id}", "bold"), "  the final figure"))
        console.print(_problem_panel(result))
    _show_printed(console, result)


def show_lesson(console: Console, unit: Unit, lesson: str) -> None:
    """Print a unit's lesson, with its exercises where they belong."""

    def listed(place: re.Match[str]) -> str:
        exercise = unit.exercise(place[1])
        return f"- **{exercise.id}** {exercise.title}"

    console.print(
        Markdown(f"# {unit.title}\n\n*{unit.idea}*\n\nTime: {unit.time}. Skip it if: {unit.criterion}\n")
    )
    console.print(Markdown(PLACE.sub(listed, lesson)))
    console.print(Markdown(f"**And then:** {unit.next}"))
