"""The reference interpreter, by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mechscope.planted import (
    CircleSum,
    aggregate,
    constant,
    elementwise,
    equal,
    load,
    mean,
    positions,
    select,
    select_where,
    selector_width,
    tokens,
)
from mechscope.planted._evaluating import UNDEFINED, Evaluation, evaluate

ROW = ("b", "a", "b", "c")


def test_leaves() -> None:
    values = Evaluation(ROW)
    assert values(tokens) == list(ROW)
    assert values(positions) == [1, 2, 3, 4]
    assert values(constant("x")) == ["x"] * 4


def test_causal_positions_see_no_later_ones() -> None:
    same = selector_width(select(tokens, tokens, equal))
    assert Evaluation(ROW)(same) == [1, 1, 2, 1]
    assert Evaluation(ROW, causal=False)(same) == [2, 1, 2, 1]


def test_none_undefined_and_preference() -> None:
    earlier = select(positions, positions, lambda key, query: key < query)
    values = Evaluation(ROW)
    assert values(aggregate(earlier, tokens)) == [None, "b", UNDEFINED, UNDEFINED]
    latest = select(positions, positions, lambda key, query: key < query, prefer=positions)
    assert values(aggregate(latest, tokens)) == [None, "b", "a", "b"]
    unsure = aggregate(earlier, tokens)
    assert values(elementwise(str, unsure)) == [None, "b", UNDEFINED, UNDEFINED]
    assert values(elementwise(lambda value: value or "none", unsure, sees_none=True))[0] == "none"
    # A condition that is False decides, whatever the undefined one would say.
    never = select(unsure, tokens, equal) & select_where(positions, lambda key: False)
    assert values(selector_width(never)) == [0, 0, 0, 0]
    assert values(selector_width(select(unsure, tokens, equal)))[2:] == [UNDEFINED, UNDEFINED]


def test_means_are_exact_fractions() -> None:
    is_b = elementwise(lambda token: 1 if token == "b" else 0, tokens)
    share = mean(select_where(positions, lambda key: True), is_b)
    assert Evaluation(ROW)(share) == [1, Fraction(1, 2), Fraction(2, 3), Fraction(1, 2)]
    assert Evaluation(ROW)(mean(select_where(positions, lambda key: key > 3), is_b)) == [0, 0, 0, 0]


def test_sums_on_circles() -> None:
    assert Evaluation(ROW)(CircleSum(positions, constant(3), 5, (1,))) == [4, 0, 1, 2]


def test_a_broken_promise_is_told() -> None:
    promised = elementwise(lambda here: here, positions, note="small", possible=lambda here: here < 3)
    with pytest.raises(ValueError, match="small declared that its inputs are never"):
        Evaluation(ROW)(promised)


def test_length_is_checked() -> None:
    with pytest.raises(ValueError, match="takes 9 tokens"):
        evaluate(load("parity").program, ROW)
