"""What is said about an answer that differs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mechscope.course.comparison import difference, simple_cause

X = torch.arange(12.0).reshape(3, 4).sin() + 0.1


@pytest.mark.parametrize(
    ("got", "wanted", "words"),
    [
        (
            None,
            X,
            "it: nothing (None) was returned. Does every path through your function end with `return`?",
        ),
        (X.numpy(), X, "it: numpy float32[3, 4] was returned; a tensor of shape [3, 4] is expected."),
        (X[0], X, "it: the shape is [4]; [3, 4] is expected."),
        (X.double(), X, "it: the dtype is float64; float32 is expected."),
        (X.log(), X.abs(), "it: 5 of 12 numbers are NaN."),
        ((X,), (X, X), "it: 1 values were returned; 2 are expected."),
        (X, (X, X), "it: float32[3, 4] was returned; a tuple of 2 values is expected."),
        ({"a": 1}, {"b": 1}, "it: the keys are ['a']; ['b'] are expected."),
        ("a", "b", "it is 'a'; 'b' is expected."),
        (0.5, 0.25, "it is 0.5; 0.25 is expected."),
        ("a", 0.25, "it is 'a'; a number is expected."),
        ((X, 1.0), (X, 2.0), "the second value of it is 1; 2 is expected."),
    ],
)
def test_the_first_difference_is_said(got: object, wanted: object, words: str) -> None:
    assert difference(got, wanted, 1e-5, 1e-6, "it") == words


def test_the_largest_difference_is_located() -> None:
    other = X.clone()
    other[1, 2] += 0.5
    other[0, 0] += 0.1
    words = difference(other, X, 1e-5, 1e-6, "it")
    at = f"{other[1, 2]:.6g} at [1, 2], where {X[1, 2]:.6g} is expected."
    assert words == f"it: 2 of 12 values differ, most of all {at}"


@pytest.mark.parametrize("same", [X.clone(), X + 1e-7])
def test_equal_answers_do_not_differ(same: torch.Tensor) -> None:
    assert difference(same, X, 1e-5, 1e-6) == ""


@pytest.mark.parametrize("number", [0.25, np.float32(0.25), torch.tensor(0.25), np.array(0.25)])
def test_numbers_of_every_kind_are_numbers(number: object) -> None:
    assert difference(number, 0.25, 1e-5, 1e-6) == ""


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (X.T, "axes 0 and 1 are exchanged"),
        (-X, "wrong sign"),
        (X[:-1], "the last one along axis 0 is missing"),
        (X[:, 1:], "the first one along axis 1 is missing"),
        (X.unsqueeze(0) + torch.eye(3).logical_not()[..., None], "are on the diagonal"),
        (X * 8, "8 times what it should be"),
        (X - 2, "2 too small"),
        (X.roll(1, 1), "shifted by one along axis 1"),
        (X.roll(-1, 0), "shifted by one along axis 0"),
    ],
)
def test_simple_causes_are_named(got: torch.Tensor, words: str) -> None:
    assert words in simple_cause(got, X, 1e-5, 1e-6)


def test_values_of_a_tuple_have_names_and_an_order() -> None:
    names = ("the eigenvalue", "the eigenvector")
    assert (
        difference((X, 2.0), (2.0, X), 1e-5, 1e-6, "it", names)
        == "the eigenvalue is float32[3, 4]; a number is expected."
    )
    assert "in another order" in simple_cause((X, 2.0), (2.0, X), 1e-5, 1e-6)
    assert "8 times" in simple_cause((2.0, X * 8), (2.0, X), 1e-5, 1e-6)
    assert simple_cause((2.0, X.sin()), (2.0, X), 1e-5, 1e-6) == ""


def test_an_answer_without_a_simple_cause_gets_no_name() -> None:
    generator = torch.Generator().manual_seed(0)
    assert simple_cause(torch.randn(3, 4, generator=generator), X, 1e-5, 1e-6) == ""
    assert simple_cause(torch.zeros(3, 4), X, 1e-5, 1e-6) == ""
