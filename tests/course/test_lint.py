"""Every exercise: its check passes the reference, and fails known mistakes (by name) and useless functions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from mechscope.course import lint
from mechscope.course.trial import Mistake, Trial
from mechscope.course.unit import Exercise, all_units, find_exercises, find_unit


@pytest.mark.parametrize("exercise", find_exercises("all"), ids=lambda exercise: exercise.id)
def test_the_check_does_what_a_check_must_do(exercise: Exercise) -> None:
    assert lint.faults_of(exercise, seeds_of_mistakes=(3,)) == []


@pytest.mark.slow
@pytest.mark.parametrize("exercise", find_exercises("all"), ids=lambda exercise: exercise.id)
def test_it_does_so_with_mistakes_of_every_seed(exercise: Exercise) -> None:
    assert lint.faults_of(exercise) == []


def test_every_exercise_is_counted() -> None:
    counts = lint.counts()
    assert counts.exercises == len(find_exercises("all"))
    assert counts.mistakes >= lint.FEWEST_MISTAKES * counts.exercises


def test_a_check_that_accepts_everything_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    exercise = find_exercises("00.evidence")[0]
    code = lint.code_of(exercise)
    monkeypatch.setattr("mechscope.course.units.mnist_templates.checks.check_evidence", lambda trial: None)
    faults = lint.faults_of(exercise, seeds=(0,))
    assert len(faults) == len(code.mistakes) + 4
    assert "it passes a function that returns nothing." in faults


def test_a_mistake_that_is_not_named_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from mechscope.course.units.mnist_templates import mistakes

    wrong = Mistake(lambda image, weights, right, wrong: 7 + image, "Seven was added.")
    other = Mistake(lambda image, weights, right, wrong: 7 + image, "Another name for the same.")
    monkeypatch.setitem(mistakes.MISTAKES, "evidence", (*mistakes.MISTAKES["evidence"][:2], wrong, other))
    (fault,) = lint.faults_of(find_exercises("evidence")[0], seeds=(3,))
    assert fault.endswith("with seed 3, but says: Seven was added.")


def test_units_have_a_lesson_that_places_every_exercise() -> None:
    for unit in all_units():
        text = unit.lesson.read_text(encoding="utf-8")
        for exercise in unit.exercises:
            assert text.count(f"[[exercise {exercise.name}]]") == 1, exercise.id
        assert text.count("[[exercise ") == len(unit.exercises)


def test_the_counts_stand_in_the_docs() -> None:
    counts = lint.counts()
    text = " ".join((Path(__file__).parents[2] / "docs" / "course.md").read_text(encoding="utf-8").split())
    sentence = (
        f"{counts.exercises} exercises, {counts.hints} hints and {counts.mistakes} known mistakes, "
        f"{counts.named_mistakes} of which have a name."
    )
    assert sentence in text


def test_values_without_names_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(trial: Trial) -> None:
        trial.compare(trial.normal(3, 4), trial.normal(5, 3), torch.eye(3), what="the layer")

    monkeypatch.setattr("mechscope.course.units.mnist_templates.checks.check_rotate_hidden", check)
    faults = lint.faults_of(find_exercises("00.rotate_hidden")[0], seeds=(0,))
    assert any(
        "no names for the values that are returned: The first value of the layer" in each for each in faults
    )


@pytest.mark.parametrize("name", ["00.smallest_step", "H.product_eigenvalues"])
def test_inputs_that_hide_a_mistake_are_not_drawn(name: str) -> None:
    (exercise,) = find_exercises(name)
    assert lint.faults_of(exercise, seeds=range(100, 120)) == []


def test_names_of_exercises_are_unique_and_units_refer_to_units_that_exist() -> None:
    names = [exercise.name for exercise in find_exercises("all")]
    assert sorted(set(names)) == sorted(names)
    for unit in all_units():
        for other in re.findall(r"\b[Uu]nit (\w+)", f"{unit.next} {unit.lesson_text}"):
            if other[0].isupper() or other[0].isdigit():
                find_unit(other)
