"""Verdicts: bounds, orders, numbers that are no numbers, and everything that must never pass in silence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechscope.labs import Claim, Condition, check_claims

PLAIN = Condition("m", "m", low=1, high=2)


def claim(*conditions: Condition, needs: str = "") -> Claim:
    return Claim("9.9", "s", "p", "source", "P", "how", conditions, needs=needs)


@pytest.mark.parametrize(
    ("value", "holds"), [(0.99, False), (1, True), (1.5, True), (2, True), (2.01, False)]
)
def test_plain_bounds_include_their_ends(value: float, holds: bool) -> None:
    assert PLAIN.holds({"m": value}) is holds


@pytest.mark.parametrize(
    ("value", "other", "holds"), [(2.1, 1, True), (2, 1, False), (0, 0, False), (-1, -1, True)]
)
def test_orders_are_strict(value: float, other: float, holds: bool) -> None:
    assert Condition("m", "m", low=2, than="n").holds({"m": value, "n": other}) is holds


@given(st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_no_number_never_holds(bad: float) -> None:
    assert not Condition("m", "m", low=-1e300).holds({"m": bad})
    assert not Condition("m", "m", high=1e300).holds({"m": bad})
    assert not Condition("m", "m", high=2, than="n").holds({"m": 1, "n": bad})
    assert not Condition("m", "m", low=0, than="n").holds({"m": bad, "n": 1})


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (PLAIN, "1 to 2"),
        (Condition("m", "m", low=60, unit="%"), "≥ 60 %"),
        (Condition("m", "m", high=0.1), "≤ 0.1"),
        (Condition("m", "m", low=2, than="n", than_what="random heads"), "> 2 × random heads"),
        (Condition("m", "m", high=1, than="n", than_what="decay 0"), "< decay 0"),
    ],
)
def test_bounds_read_as_words(condition: Condition, words: str) -> None:
    assert condition.wanted.replace("\u00a0", " ") == words


def test_every_condition_must_hold_in_every_seed() -> None:
    other = Condition("n", "n", low=0)
    passed, failed = (
        check_claims([claim(PLAIN, other)], {0: {"m": 1.5, "n": 1}, 1: {"m": last, "n": 1}})[0]
        for last in (2, 3)
    )
    assert (passed.status, passed.reason, passed.seeds) == ("pass", "", (0, 1))
    assert failed.status == "fail"
    assert failed.reason == "m should be 1 to 2, was 3 (seed 1)"
    assert [finding.ok for finding in failed.findings] == [False, True]
    assert failed.findings[0].held == {0: True, 1: False}


def test_an_order_shows_what_it_was_compared_with() -> None:
    condition = Condition("m", "m", low=1, than="n", than_what="the null")
    (checked,) = check_claims([claim(condition)], {0: {"m": 2, "n": 1}})
    assert checked.findings[0].yardstick == {0: 1}


def test_not_run_is_neither_pass_nor_fail_and_says_why() -> None:
    needy = claim(Condition("not measured", "x", low=0), needs="mnist")
    (checked,) = check_claims([needy], {0: {}}, {"mnist": "no MNIST here"})
    assert (checked.status, checked.reason, checked.findings) == ("not-run", "no MNIST here", ())
    (checked,) = check_claims([claim(PLAIN)], {0: {"m": 1}}, {"9.9": "skipped"})
    assert checked.status == "not-run"


def test_nothing_passes_by_being_absent() -> None:
    with pytest.raises(KeyError, match="did you mean accuracy"):
        check_claims([claim(Condition("acuracy", "a", low=0))], {0: {"accuracy": 1}})
    with pytest.raises(ValueError, match="no seed at all"):
        check_claims([claim(PLAIN)], {})
    with pytest.raises(ValueError, match=r"\['mnits'\], which no claim has"):
        check_claims([claim(PLAIN)], {0: {"m": 1}}, {"mnits": "typing mistake"})
    with pytest.raises(ValueError, match="could not fail"):
        claim()
    with pytest.raises(ValueError, match="neither a lower nor an upper"):
        Condition("m", "m")
    with pytest.raises(ValueError, match="tags are P, C, Q"):
        Claim("1", "s", "p", "s", "Z", "h", (PLAIN,))
