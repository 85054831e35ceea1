"""The course in a browser: the map, a unit, results that appear when the file is saved, and the learner's figure."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mechscope.course import learner_folder
from mechscope.course.progress import Progress
from mechscope.course.result import CheckResult
from mechscope.course.session import FOLDER, CourseSession
from mechscope.course.site_pages import lesson_parts, unit_route
from mechscope.course.template import replace_function, solution
from mechscope.course.unit import Unit, all_units, find_unit
from mechscope.pages.site import collect_site
from mechscope.web.rendering import render_site_page
from tests.browser import WatchedPage, served_site

UNIT = find_unit("03")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourseSession:
    """A learner who has begun the course and has passed one exercise."""
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    learner_folder.start(tmp_path / "course")
    progress = Progress()
    progress.set(FOLDER, str(tmp_path / "course"))
    session = CourseSession.find()
    write(session, "repeated_tokens", solution(UNIT, "repeated_tokens"))
    exercise = UNIT.exercise("repeated_tokens")
    progress.record(CheckResult(exercise.id, "passed", 0), session.digest(exercise))
    return session


@pytest.fixture
def served(session: CourseSession, tmp_path: Path) -> Iterator[str]:
    with served_site(runs=tmp_path / "runs") as found:
        yield found


def write(session: CourseSession, name: str, body: str) -> None:
    path = session.folder / UNIT.file_name
    path.write_text(replace_function(path.read_text(), name, body))


@pytest.mark.parametrize("unit", all_units(), ids=lambda unit: unit.id)
def test_every_exercise_stands_in_its_place(unit: Unit) -> None:
    parts = lesson_parts(unit)
    assert [part.exercise for part in parts if part.exercise] and {
        part.exercise for part in parts if part.exercise
    } == set(unit.exercises)
    site = collect_site()
    page = render_site_page(site, site.pages[unit_route(unit)], is_served=False)
    assert page.count("data-exercise=") == len(unit.exercises)
    assert "[[exercise" not in page
    assert "mechscope serve" in page
    # Hints are closed, the solution is the innermost, and nothing is asked of a server.
    assert page.count('<details class="course-hint" data-hint="4"') == len(unit.exercises)
    assert "<details open" not in page
    assert "data-course-unit" not in page


def test_results_appear_when_the_file_is_saved(browser: Any, served: str, session: CourseSession) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(f"{served}course/")
    assert f"1 of {sum(len(unit.exercises) for unit in all_units())} exercises are done" in page.inner_text(
        "main"
    )
    page.get_by_role("link", name="Unit 03").click()
    page.wait_for_function("() => document.querySelector('#repeated_tokens').dataset.state === 'passed'")
    assert page.inner_text('[data-part="file"]') == str(session.folder / UNIT.file_name)
    # The figure is drawn with what has passed, without a click.
    page.get_by_text("Drawn with your repeated_tokens.").wait_for()

    write(session, "loss_gap", "def loss_gap(losses, length):\n    return float(losses[:, length:].mean())\n")
    result = page.locator("#loss_gap .course-result.failed")
    result.wait_for()
    wanted = session.progress.results("03")["03.loss_gap"].result
    assert wanted.problem in result.inner_text()
    assert f"--seed {wanted.seed}" in result.inner_text()
    assert page.inner_text("#loss_gap .chip") == "Not right yet"

    write(session, "loss_gap", solution(UNIT, "loss_gap"))
    page.locator("#loss_gap .course-result.passed").wait_for()
    assert page.inner_text("#loss_gap .chip") == "Passed"
    page.get_by_text("Drawn with your repeated_tokens and loss_gap.").wait_for()
    assert "Reproduced." in page.inner_text('[data-part="number"]')

    # A hint that is opened is remembered, and the button checks what nobody has begun.
    page.locator("#k_composition summary", has_text="A nudge").click()
    page.wait_for_function("() => document.querySelector('#k_composition [data-hint]').dataset.told")
    assert not page.locator("#k_composition [data-hint='4'] pre").is_visible()
    assert watched.problems == []
    page.close()
    assert session.progress.state("03.loss_gap").attempts == 2


def test_without_a_folder_the_page_says_how_to_begin(browser: Any, address: str) -> None:
    watched = WatchedPage(browser, viewport={"width": 360, "height": 800})
    page = watched.page
    page.goto(f"{address}course/t/")
    page.wait_for_selector("[data-part=begin]:not([hidden])")
    assert page.inner_text("[data-part=begin]") == (
        "There is no course folder yet. mechscope course start DIR makes one."
    )
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    assert watched.problems == []
    page.close()


def test_progress_is_exported_from_the_page(served: str, session: CourseSession) -> None:
    with urllib.request.urlopen(f"{served}api/course/progress") as answer:
        assert json.loads(answer.read()) == session.progress.to_json()
