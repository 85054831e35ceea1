"""What each command under `mechscope course` does."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from mechscope.cli.console import Terminal
from mechscope.cli.course.commands import (
    Check,
    Export,
    Hint,
    Import,
    Lesson,
    List,
    Reset,
    Skip,
    Solution,
    Start,
    Status,
    Watch,
)
from mechscope.cli.errors import UserError, user_errors
from mechscope.course import learner_folder, terminal
from mechscope.course.progress import Progress, read_export, state_of
from mechscope.course.session import FOLDER, CourseSession, last_exercise, next_exercise
from mechscope.course.template import solution as solution_text
from mechscope.course.unit import Exercise, all_units, find_exercises, find_unit
from mechscope.course.unit_notebook import FOLDER as NOTEBOOKS
from mechscope.course.unit_notebook import WrittenNotebooks, notebook_name, write_notebooks
from mechscope.course.watching import SavedExercises, announced, saves
from mechscope.storage.files import write_atomically

MANY = 4
"""From so many checks on, preparing for them takes less time than it saves."""


def start(command: Start) -> int:
    """Write the learner's folder."""
    console = _console()
    with user_errors():
        started = learner_folder.start(command.folder)
        notebooks = write_notebooks(command.folder)
    progress = Progress()
    progress.set(FOLDER, str(command.folder.resolve()))
    for names, words in (
        (started.written, "new"),
        (started.updated, "brought up to date"),
        (started.edited, "yours, left alone"),
    ):
        for name in names:
            console.print(f"  {command.folder / name}  [dim]{words}[/dim]")
    _show_notebooks(console, command.folder / NOTEBOOKS, notebooks)
    for exercise in started.missing:
        console.print(
            f"  {exercise.id} is new in the course: `mechscope course reset {exercise.id}` adds it to your file."
        )
    following = CourseSession(command.folder, progress).next_exercise()
    if following is None:
        console.print("Every exercise is done.")
    else:
        file = command.folder / find_unit(following.unit).file_name
        console.print(f"\nOpen {file}, write the function {following.name}, and in another terminal:\n")
        console.print("  mechscope course watch      checks what you save")
        console.print(f"  mechscope course lesson {following.unit}   what it is about")
        name = notebook_name(find_unit(following.unit))
        console.print(
            f"\nOr open {command.folder / NOTEBOOKS / name}, which has the lesson and the same exercises."
        )
    return _warn(progress)


def _show_notebooks(console: Console, folder: Path, notebooks: WrittenNotebooks) -> None:
    """One line for all that are new, and one for each that was left alone."""
    for names, words in ((notebooks.written, "new"), (notebooks.updated, "brought up to date")):
        if names:
            console.print(f"  {folder}  [dim]{len(names)} notebook{'s' * (len(names) != 1)}, {words}[/dim]")
    for name in notebooks.edited:
        console.print(f"  {folder / name}  [dim]yours, left alone[/dim]")


def watch(command: Watch) -> int:
    """Check what is saved, until Ctrl-C."""
    console, session = _console(), _session(command.folder)
    saved = SavedExercises(session, all_units())
    session.runner.warm_up()

    def begin() -> None:
        following = session.next_exercise()
        words = f" Next: {following.id}  {following.title}" if following else ""
        console.print(f"Watching {session.folder}. Save a file to check it; Ctrl-C ends.{words}")

    with announced(session):
        for path in saves(session.folder, begin):
            for exercise in saved.changed(path):
                _check_one(console, session, exercise, None)
            _warn(session.progress)
    return 0


def check(command: Check) -> int:
    """Check exercises."""
    console, session = _console(), _session(command.folder)
    exercises = _wanted(command.what, session)
    states = session.progress.states()
    results = []
    finished = 0
    if len(exercises) >= MANY:
        session.runner.warm_up()
    for exercise in exercises:
        if (
            not command.again
            and command.seed is None
            and len(exercises) > 1
            and session.is_finished(exercise, states)
        ):
            finished += 1
            continue
        if command.json:
            results.append(session.check(exercise, command.seed))
            print(json.dumps(results[-1].to_json()), flush=True)
        else:
            results.append(_check_one(console, session, exercise, command.seed))
    if len(exercises) > 1 and not command.json:
        passed = finished + sum(result.status == "passed" for result in results)
        unchanged = f" ({finished} passed earlier and have not changed since)" if finished else ""
        console.print(f"{passed} of {len(exercises)} exercises pass{unchanged}.")
    _warn(session.progress)
    return 0 if all(result.status == "passed" for result in results) else 1


def _check_one(console: Console, session: CourseSession, exercise: Exercise, seed: int | None):
    if exercise.is_slow and not session.is_finished(exercise):
        console.print(
            f"[dim]Checking {exercise.id}, which may take up to {exercise.seconds:.0f} seconds …[/dim]"
        )
    result = session.check(exercise, seed)
    terminal.show_result(console, result, exercise, session.next_exercise(exercise))
    if result.status == "passed":
        _celebrate(console, session, exercise)
    return result


def _celebrate(console: Console, session: CourseSession, exercise: Exercise) -> None:
    unit = find_unit(exercise.unit)
    states = session.progress.states()
    if all(state_of(states, other).is_done for other in unit.exercises):
        console.print(f"[bold green]Unit {unit.id} is done.[/bold green] {unit.next}")


def hint(command: Hint) -> int:
    """Show the next hint."""
    console, session = _console(), _session(command.folder)
    exercise = _one(command.exercise, session)
    level = min(session.progress.state(exercise.id).hints + 1, len(exercise.hints))
    terminal.show_hint(console, exercise, level)
    session.progress.record_hint(exercise.id, level)
    return _warn(session.progress)


def solution(command: Solution) -> int:
    """Show a solution."""
    console, session = _console(), _session(command.folder)
    exercise = _one(command.exercise, session)
    if not command.now and session.progress.state(exercise.id).attempts == 0:
        raise UserError(
            f"you have not tried {exercise.id} yet. `mechscope course hint {exercise.id}` helps without giving it "
            "away; with --now the solution is shown at once."
        )
    terminal.show_solution(console, exercise, solution_text(find_unit(exercise.unit), exercise.name))
    session.progress.record_hint(exercise.id, terminal.SOLUTION)
    return _warn(session.progress)


def lesson(command: Lesson) -> int:
    """Print a lesson."""
    if command.unit:
        with user_errors():
            unit = find_unit(command.unit)
    else:
        following = _session(command.folder).next_exercise()
        unit = find_unit(following.unit) if following else all_units()[0]
    terminal.show_lesson(_console(), unit, unit.lesson_text)
    return 0


def list_exercises(command: List) -> int:
    """List exercises."""
    words = [word.lower() for word in command.words]
    exercises = [
        exercise
        for exercise in find_exercises("all")
        if all(word in f"{exercise.id} {exercise.title}".lower() for word in words)
    ]
    if not exercises:
        raise UserError(f"no exercise has all of these words: {' '.join(command.words)}.")
    progress = Progress()
    states = progress.states()
    if command.json:
        for exercise in exercises:
            state = asdict(state_of(states, exercise))
            print(json.dumps({"exercise": exercise.id, "title": exercise.title, **state}))
    else:
        terminal.show_list(_console(), exercises, states, progress.minutes())
    return _warn(progress)


def status(command: Status) -> int:
    """Show progress."""
    progress = Progress()
    states = progress.states()
    if command.json:
        units = {
            unit.id: {
                "title": unit.title,
                "exercises": len(unit.exercises),
                "done": sum(state_of(states, exercise).is_done for exercise in unit.exercises),
            }
            for unit in all_units()
        }
        print(json.dumps(units))
    else:
        following = next_exercise(states, last_exercise(progress))
        terminal.show_status(_console(), all_units(), states, following, progress.minutes())
    return _warn(progress)


def skip(command: Skip) -> int:
    """Skip exercises."""
    with user_errors():
        exercises = find_exercises(command.what)
    progress = Progress()
    for exercise in exercises:
        progress.skip(exercise.id)
    console = _console()
    console.print(f"Skipped: {', '.join(exercise.id for exercise in exercises)}.")
    for unit in all_units():
        if unit.exercises and set(unit.exercises) <= set(exercises):
            again = f"If not: mechscope course reset {unit.id}"
            console.print(f"The success criterion of unit {unit.id}: {unit.criterion} {again}", markup=False)
    return _warn(progress)


def reset(command: Reset) -> int:
    """Empty exercises again."""
    session = _session(command.folder)
    with user_errors():
        exercises = find_exercises(command.what)
    for exercise in exercises:
        try:
            backup = learner_folder.reset(session.folder, exercise)
        except SyntaxError as error:
            raise UserError(
                f"{session.path(exercise)} is not valid Python (line {error.lineno}: {error.msg}), so that the "
                "function cannot be found in it. Correct that first, or delete the file and run `course start`."
            ) from error
        session.progress.forget(exercise.id)
        kept = f" Your file as it was: {backup}" if backup else ""
        _console().print(f"{exercise.id} is empty again.{kept}", soft_wrap=True)
    return _warn(session.progress)


def export(command: Export) -> int:
    """Write progress to a file."""
    progress = Progress()
    with user_errors():
        write_atomically(command.file, json.dumps(progress.to_json(), indent=1) + "\n")
    _console().print(f"Written: {command.file}")
    return _warn(progress)


def import_progress(command: Import) -> int:
    """Read progress from a file."""
    progress = Progress()
    with user_errors():
        new = progress.import_json(read_export(command.file))
    _console().print(f"{new} new entries.")
    return _warn(progress)


def _console() -> Console:
    return Terminal()


def _session(folder: Path | None) -> CourseSession:
    with user_errors():
        return CourseSession.find(folder)


def _wanted(what: str, session: CourseSession) -> tuple[Exercise, ...]:
    if what:
        with user_errors():
            return find_exercises(what)
    following = session.next_exercise()
    if following is None:
        raise UserError("every exercise is done. `mechscope course check all --again` checks all of them.")
    return (following,)


def _one(what: str, session: CourseSession) -> Exercise:
    first, *more = _wanted(what, session)
    if more:
        raise UserError(f"{what} has {len(more) + 1} exercises: name one, such as {first.id}.")
    return first


def _warn(progress: Progress) -> int:
    if progress.warning:
        Terminal(stderr=True).print(f"mechscope: {progress.warning}", style="yellow", soft_wrap=True)
        progress.warning = ""
    return 0
