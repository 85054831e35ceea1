"""Check an exercise whenever its file is saved."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mechscope.course.learner_file import LearnerError, parse
from mechscope.course.learner_folder import unit_of_file
from mechscope.course.session import CourseSession
from mechscope.course.unit import Exercise, Unit

WATCHED = "watched"
"""The setting that says which process watches which folder."""
DEBOUNCE = 60
"""Milliseconds within which several writes of an editor count as one save."""


class SavedExercises:
    """Finds out what to check after a save: the functions that differ from what they were.

    Args:
        session: the learner's work.
        units: the units whose files are watched.
    """

    def __init__(self, session: CourseSession, units: Iterable[Unit]) -> None:
        self.session = session
        self.seen = {unit.file_name: self._functions(unit) for unit in units}

    def changed(self, path: Path) -> list[Exercise]:
        """The exercises to check after this file was saved.

        These are the functions that changed; if none did (a constant or an import changed, or the file is no valid
        Python), the first one that is not finished.
        """
        unit = unit_of_file(path)
        if unit is None or unit.file_name not in self.seen:
            return []
        before, now = self.seen[unit.file_name], self._functions(unit)
        if now is not None:
            self.seen[unit.file_name] = now
        if now is not None and now == before:
            return []
        changed = [
            exercise
            for exercise in unit.exercises
            if now is not None and before is not None and now.get(exercise.name) != before.get(exercise.name)
        ]
        states = self.session.progress.states()
        unfinished = [
            exercise for exercise in unit.exercises if not self.session.is_finished(exercise, states)
        ]
        return [exercise for exercise in changed if exercise in unfinished] or (
            [] if changed else unfinished[:1]
        )

    def _functions(self, unit: Unit) -> dict[str, str] | None:
        """Function → its code without comments, and "" → everything else; None if the file is no valid Python."""
        try:
            tree = parse(self.session.folder / unit.file_name)
        except LearnerError:
            return None
        functions = {node.name: ast.dump(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
        rest = [ast.dump(node) for node in tree.body if not isinstance(node, ast.FunctionDef)]
        return {**functions, "": "\n".join(rest)}


@contextmanager
def announced(session: CourseSession) -> Generator[None]:
    """While this process watches: say so in the progress database, so that the web lab does not check the same."""
    process = psutil.Process()
    mark = {"folder": str(session.folder.resolve()), "pid": process.pid, "since": process.create_time()}
    session.progress.set(WATCHED, json.dumps(mark))
    try:
        yield
    finally:
        session.progress.set(WATCHED, "")


def is_watched(session: CourseSession) -> bool:
    """Whether a process that is still there watches the session's folder."""
    try:
        mark = json.loads(session.progress.get(WATCHED))
        is_there = psutil.Process(mark["pid"]).create_time() == mark["since"]
        return is_there and mark["folder"] == str(session.folder.resolve())
    except (ValueError, KeyError, TypeError, psutil.Error):
        return False


def saves(folder: Path, report: Callable[[], None]) -> Iterator[Path]:
    """The Python files of a folder as they are saved, without end.

    Args:
        report: called once the folder is watched.
    """
    from watchfiles import watch

    report()
    for changes in watch(folder, debounce=DEBOUNCE, step=20, recursive=False, raise_interrupt=True):
        for path in sorted({Path(name) for _, name in changes if name.endswith(".py")}):
            if path.exists():
                yield path
