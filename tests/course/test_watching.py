"""What is checked after a save."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from mechscope.course import learner_folder
from mechscope.course.progress import Progress
from mechscope.course.result import CheckResult
from mechscope.course.session import CourseSession
from mechscope.course.template import replace_function
from mechscope.course.unit import all_units, find_exercises, find_unit
from mechscope.course.watching import WATCHED, SavedExercises, announced, is_watched, saves

UNIT = find_unit("00")


@pytest.fixture
def session(tmp_path: Path) -> CourseSession:
    learner_folder.start(tmp_path / "course")
    return CourseSession(tmp_path / "course", Progress(tmp_path / "progress.sqlite"))


def write(session: CourseSession, name: str, body: str) -> Path:
    path = session.folder / UNIT.file_name
    path.write_text(replace_function(path.read_text(), name, body))
    return path


def test_the_function_that_changed_is_checked(session: CourseSession) -> None:
    saved = SavedExercises(session, all_units())
    path = write(session, "match", "def match(rows, templates):\n    return 1\n")
    assert [exercise.name for exercise in saved.changed(path)] == ["match"]
    # Saved again without a change, or with another comment.
    assert saved.changed(path) == []
    path.write_text(path.read_text() + "# a note\n")
    assert saved.changed(path) == []


def test_a_finished_exercise_is_not_checked_again(session: CourseSession) -> None:
    saved = SavedExercises(session, all_units())
    path = write(session, "match", "def match(rows, templates):\n    return 1\n")
    exercise = find_exercises("00.match")[0]
    session.progress.record(CheckResult(exercise.id, "passed", 0), session.digest(exercise))
    assert saved.changed(path) == []
    write(session, "match", "def match(rows, templates):\n    return 2\n")
    assert saved.changed(path) == [exercise]


def test_a_change_outside_functions_checks_the_next_exercise(session: CourseSession) -> None:
    saved = SavedExercises(session, all_units())
    path = session.folder / UNIT.file_name
    path.write_text(path.read_text() + "SCALE = 2\n")
    assert [exercise.name for exercise in saved.changed(path)] == ["softmax_gradient"]


def test_a_file_that_is_not_valid_python_checks_the_next_exercise(session: CourseSession) -> None:
    saved = SavedExercises(session, all_units())
    path = session.folder / UNIT.file_name
    text = path.read_text()
    path.write_text(text + "def broken(:\n")
    (exercise,) = saved.changed(path)
    result = session.check(exercise)
    assert result.status == "broken"
    assert result.problem.startswith(f"{UNIT.file_name} is not valid Python: ")
    assert result.source == "def broken(:"
    # Once it is valid again, only what differs from the last valid file counts.
    path.write_text(replace_function(text, "match", "def match(rows, templates):\n    return 1\n"))
    assert [exercise.name for exercise in saved.changed(path)] == ["match"]


def test_a_process_that_watches_says_so(session: CourseSession, tmp_path: Path) -> None:
    assert not is_watched(session)
    with announced(session):
        assert is_watched(session)
        learner_folder.start(tmp_path / "other")
        assert not is_watched(CourseSession(tmp_path / "other", session.progress))
    assert not is_watched(session)
    # One that was killed could not say that it ended.
    mark = {"folder": str(session.folder.resolve()), "pid": os.getpid(), "since": 1.0}
    session.progress.set(WATCHED, json.dumps(mark))
    assert not is_watched(session)


def test_other_files_are_ignored(session: CourseSession) -> None:
    saved = SavedExercises(session, all_units())
    other = session.folder / "notes.py"
    other.write_text("x = 1\n")
    assert saved.changed(other) == []


def test_saves_are_seen(session: CourseSession) -> None:
    path = session.folder / UNIT.file_name

    def save() -> None:
        threading.Timer(0.3, lambda: path.write_text(path.read_text() + "# saved\n")).start()

    assert next(saves(session.folder, save)).resolve() == path.resolve()
