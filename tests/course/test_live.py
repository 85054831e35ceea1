"""The course in a running web lab: what is saved is checked once, by one of those who watch."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mechscope.course import learner_folder
from mechscope.course.endpoints import CoursePages, ExerciseName, LearnersUnit, ShownHint, UnitName
from mechscope.course.live import LiveCourse
from mechscope.course.progress import Progress
from mechscope.course.result import CheckResult
from mechscope.course.session import FOLDER, CourseSession
from mechscope.course.template import replace_function
from mechscope.course.unit import Exercise, find_unit
from mechscope.course.watching import announced
from mechscope.pages.endpoints import RefusedError

UNIT = find_unit("00")
WRONG = "def match(rows, templates):\n    return {}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    learner_folder.start(tmp_path / "course")
    Progress().set(FOLDER, str(tmp_path / "course"))
    return tmp_path / "course"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The exercises that were checked; each fails."""
    found: list[str] = []

    def check(self: CourseSession, exercise: Exercise, seed: int | None = None) -> CheckResult:
        found.append(exercise.id)
        if exercise.name == "evidence":
            raise RuntimeError("a check with a fault")
        result = CheckResult(exercise.id, "failed", 1, problem="It is wrong.")
        self.progress.record(result, self.digest(exercise))
        return result

    monkeypatch.setattr(CourseSession, "check", check)
    return found


def save(folder: Path, value: int) -> None:
    path = folder / UNIT.file_name
    path.write_text(replace_function(path.read_text(), "match", WRONG.format("1" * value)))


def settled(pages: CoursePages) -> LearnersUnit:
    """The unit once nothing is being checked."""
    while True:
        unit = pages.read(UnitName(unit="00"))
        if not any(each.is_checking for each in unit.exercises):
            return unit
        time.sleep(0.01)


def test_what_is_saved_is_checked_once(folder: Path, checked: list[str]) -> None:
    pages = CoursePages(LiveCourse())
    look = UnitName(unit="00")
    pages.look(look)
    save(folder, 1)
    pages.look(look)
    pages.look(look)
    face = next(each for each in settled(pages).exercises if each.exercise == "00.match")
    assert checked == ["00.match"]
    assert (face.state, face.attempts, face.is_changed) == ("tried", 1, False)
    assert face.result is not None
    assert face.result.problem == "It is wrong."

    # The terminal watches: it checks, and the page only shows.
    with announced(CourseSession(folder, Progress())):
        save(folder, 2)
        unit = pages.look(look)
    assert unit.is_watched
    assert checked == ["00.match"]
    assert next(each for each in settled(pages).exercises if each.exercise == "00.match").is_changed


def test_a_fault_of_a_check_is_said(
    folder: Path, checked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    pages = CoursePages(LiveCourse())
    pages.check(ExerciseName(exercise="00.evidence"))
    face = next(each for each in settled(pages).exercises if each.exercise == "00.evidence")
    assert face.fault.startswith("The check itself failed, which is not your fault")
    assert "a check with a fault" in caplog.text


def test_hints_are_remembered_and_unknown_names_refused(folder: Path) -> None:
    pages = CoursePages(LiveCourse())
    pages.hint(ShownHint(exercise="00.match", level=2))
    assert Progress().state("00.match").hints == 2
    for name in ("00", "match", "00.mach"):
        with pytest.raises(RefusedError) as refused:
            pages.check(ExerciseName(exercise=name))
        assert refused.value.status == 404


def test_without_a_folder_nothing_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    pages = CoursePages(LiveCourse())
    assert pages.look(UnitName(unit="P")).begin.startswith("There is no course folder yet.")
    for ask in (
        lambda: pages.check(ExerciseName(exercise="00.match")),
        lambda: pages.draw(UnitName(unit="00")),
    ):
        with pytest.raises(RefusedError, match="no course folder yet") as refused:
            ask()
        assert refused.value.status == 409
