"""Which exercise comes next."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import pytest

from mechscope.course.progress import ExerciseState, Progress
from mechscope.course.result import CheckResult
from mechscope.course.session import CourseSession, next_exercise
from mechscope.course.unit import all_units, find_exercises, find_unit

DONE = ExerciseState(passed=True)


def test_after_a_unit_comes_the_one_that_follows_it() -> None:
    units = all_units()
    for unit, following in itertools.pairwise(units):
        states = {exercise.id: DONE for exercise in unit.exercises}
        assert next_exercise(states, unit.exercises[-1]) == following.exercises[0]


def test_what_was_left_out_comes_at_the_end() -> None:
    unit = find_unit("00")
    later = {exercise.id: DONE for exercise in find_exercises("all") if exercise.unit != "P"}
    assert next_exercise(later, unit.exercises[0]) == find_unit("P").exercises[0]
    assert next_exercise({unit.exercises[4].id: DONE}, unit.exercises[4]) == unit.exercises[5]


@pytest.mark.parametrize("status", ["passed", "failed"])
def test_learners_go_on_where_they_were(tmp_path: Path, status: Literal["passed", "failed"]) -> None:
    session = CourseSession(tmp_path, Progress(tmp_path / "progress.sqlite"))
    first = find_exercises("all")[0]
    assert session.next_exercise() == first
    one, two, *_ = find_unit("01").exercises
    session.progress.record(CheckResult(one.id, status, 0), "")
    assert session.next_exercise() == (two if status == "passed" else one)
    session.progress.record_hint("03.loss_gap", 1)
    assert session.next_exercise() == find_exercises("03.loss_gap")[0]
