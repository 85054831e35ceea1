"""What a check says about calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mechscope.course.trial import RANDOM, CheckFailedError, Mistake, Trial


def right(weights: dict[str, Tensor]) -> tuple[float, Tensor]:
    return 2.0, weights["a"] + 1


def failure(function: Callable[..., Any], refuse: type[Exception] | None = None) -> CheckFailedError:
    trial = Trial(function, right, (), 0)
    weights = {"a": torch.ones(3)}
    with pytest.raises(CheckFailedError) as failed:
        if refuse is None:
            trial.compare(weights, names=("the number", "the tensor"))
        else:
            trial.refuses(refuse, "it is wrong.", weights)
    return failed.value


def test_a_tensor_in_a_dictionary_that_was_changed_is_noticed() -> None:
    def changes(weights: dict[str, Tensor]) -> tuple[float, Tensor]:
        weights["a"] += 1
        return 2.0, weights["a"]

    assert failure(changes).problem == "Your function changed its argument weights."


def test_values_of_an_answer_are_called_by_their_names() -> None:
    failed = failure(lambda weights: (2.0, weights["a"] * 6))
    assert failed.problem.startswith("The tensor: 3 of 3 values differ, most of all 6 at [0], where 2")
    assert failed.diagnosis.startswith("Every value is 3 times")
    failed = failure(lambda weights: (weights["a"] + 1, 2.0))
    assert failed.problem == "The number is float32[3]; a number is expected."
    assert "in another order" in failed.diagnosis


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AssertionError(), "It is wrong. It raised AssertionError"),
        (KeyError("a"), "It is wrong. It raised KeyError: 'a'"),
    ],
)
def test_the_wrong_kind_of_error_is_named(error: Exception, words: str) -> None:
    def raises(weights: dict[str, Tensor]) -> None:
        raise error

    failed = failure(raises, refuse=ValueError)
    assert failed.problem == words
    assert "raise ValueError(...)" in failed.diagnosis


def test_notes_are_kept() -> None:
    trial = Trial(right, right, (), 0)
    trial.note("It took two steps.")
    assert trial.notes == ["It took two steps."]


def test_an_answer_that_changes_from_call_to_call_is_noticed() -> None:
    assert failure(lambda weights: (2.0, torch.randn(3))).diagnosis == RANDOM
    assert failure(lambda weights: (2.0, torch.tensor([3.0, 1.0, 7.0]))).diagnosis == ""


@pytest.mark.parametrize("changes_model", [False, True])
def test_only_a_mistake_that_changes_a_model_gets_a_copy_of_it(changes_model: bool) -> None:
    model, given = torch.nn.Linear(2, 2), []

    def wrong(model: torch.nn.Module) -> float:
        given.append(model)
        return 1.0

    trial = Trial(wrong, lambda model: 2.0, [Mistake(wrong, "It is one.", changes_model)], 0)
    with pytest.raises(CheckFailedError, match="is 1; 2 is expected"):
        trial.compare(model)
    of_learner, of_mistake = given
    assert of_learner is not model
    assert (of_mistake is model) != changes_model
