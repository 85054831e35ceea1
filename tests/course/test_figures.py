"""The final figures: right functions reproduce the number, wrong ones do not, and the learner's own are used."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from mechscope.course import learner_folder
from mechscope.course.drawing import draw_with_file
from mechscope.course.figure_lint import figure_faults_of
from mechscope.course.figure_page import figure_page
from mechscope.course.progress import Progress
from mechscope.course.reference_figures import reference_figure
from mechscope.course.result import CheckResult
from mechscope.course.session import CourseSession
from mechscope.course.template import replace_function, solution
from mechscope.course.unit import Unit, all_units, find_unit

UNIT = find_unit("03")


WITH_FIGURE = pytest.mark.parametrize(
    "unit", [unit for unit in all_units() if unit.has_figure], ids=lambda unit: unit.id
)


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(unit, marks=pytest.mark.slow if unit.id in ("02", "04") else ())
        for unit in all_units()
        if unit.has_figure
    ],
    ids=lambda unit: unit.id,
)
def test_right_functions_reproduce_the_number_and_a_wrong_one_does_not(unit: Unit) -> None:
    assert figure_faults_of(unit, seeds=(), every_function=False) == []


@pytest.mark.slow
@WITH_FIGURE
def test_every_function_counts_and_every_seed_reproduces_the_number(unit: Unit) -> None:
    assert figure_faults_of(unit) == []


@pytest.fixture
def session(tmp_path: Path) -> CourseSession:
    learner_folder.start(tmp_path / "course")
    return CourseSession(tmp_path / "course", Progress(tmp_path / "progress.sqlite"))


def write(session: CourseSession, name: str, text: str) -> None:
    path = session.folder / UNIT.file_name
    path.write_text(replace_function(path.read_text(), name, text))


def passes(session: CourseSession, name: str) -> None:
    exercise = UNIT.exercise(name)
    session.progress.record(CheckResult(exercise.id, "passed", 0), session.digest(exercise))


def test_it_is_drawn_with_what_has_passed_and_has_not_changed_since(session: CourseSession) -> None:
    write(session, "repeated_tokens", solution(UNIT, "repeated_tokens"))
    write(session, "loss_gap", "def loss_gap(losses, length):\n    print('mine')\n    return 1\n")
    passes(session, "repeated_tokens")
    assert session.finished(UNIT) == {"repeated_tokens"}

    passes(session, "loss_gap")
    result = session.draw(UNIT)
    assert (result.number, result.is_reproduced, result.printed) == (1.0, False, "mine\n")
    assert result.functions_in_words.startswith("Drawn with your repeated_tokens and loss_gap. The reference")

    write(session, "loss_gap", "def loss_gap(losses, length):\n    return 2\n")
    assert session.finished(UNIT) == {"repeated_tokens"}
    # A file that cannot be read is not passed over: drawing says what is wrong with it.
    (session.folder / UNIT.file_name).write_text("def broken(:\n")
    assert session.finished(UNIT) == {"repeated_tokens", "loss_gap"}


def test_an_error_names_the_learners_line(session: CourseSession) -> None:
    write(session, "loss_gap", "def loss_gap(losses, length):\n    return losses @ losses\n")
    path = session.folder / UNIT.file_name
    result = draw_with_file(UNIT, path, {"loss_gap"})
    assert result.status == "broken"
    assert result.source == "return losses @ losses"
    assert "Which axis should they share?" in result.diagnosis
    # A function of another kind fails in the figure, not in its own lines.
    write(session, "loss_gap", "def loss_gap(losses, length):\n    return 'low'\n")
    result = draw_with_file(UNIT, path, {"loss_gap"})
    assert result.problem.startswith("The figure cannot be drawn with what your functions return")
    assert result.diagnosis == "Check them again: `mechscope course check 03 --again`."
    path.write_text("def broken(:\n")
    assert draw_with_file(UNIT, path, {"loss_gap"}).problem.startswith("03_induction.py is not valid Python")
    assert draw_with_file(UNIT, path, set()).status == "drawn"


def test_the_page_loads_nothing(session: CourseSession) -> None:
    shipped = reference_figure(UNIT)
    assert shipped is not None
    page = figure_page(UNIT, shipped)
    assert html.escape(shipped.number_in_words).replace("&#x27;", "&#39;") in page
    assert "<script src" not in page
    assert '<link rel="stylesheet"' not in page
    assert json.loads(json.dumps(shipped.to_json()))["unit"] == "03"
