"""How numbers, times and names read on a page."""

from __future__ import annotations

import pytest

from mechscope.pages.formatting import code_spans, duration, first_capital, number, with_minus


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0.0, "0"),
        (-0.41234, "−0.412"),
        (-1234.5, "−1234"),
        (42.123, "42.12"),
        (-0.00012, "−1e-04"),
        (float("nan"), "not a number"),
        (float("-inf"), "not a number"),
    ],
)
def test_numbers(value: float, read: str) -> None:
    assert number(value) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("-0.4 to -.2", "−0.4 to −.2"),
        ("≥\u00a0-3\u00a0%", "≥\u00a0−3\u00a0%"),
        ("(-1 · -2)", "(−1 · −2)"),
        (
            "GPT-2, 1e-05, 2026-11-21, 3-4, f(x)-1, K-composition",
            "GPT-2, 1e-05, 2026-11-21, 3-4, f(x)-1, K-composition",
        ),
    ],
)
def test_a_minus_is_no_hyphen_and_a_hyphen_no_minus(text: str, read: str) -> None:
    assert with_minus(text) == read


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0.2, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (3492, "58 min"),
        (5960, "99 min"),
        (7200, "2 h"),
        (12640, "3 h 31 min"),
    ],
)
def test_times(seconds: float, read: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == read


def test_code_is_what_stands_between_two_backticks() -> None:
    assert code_spans("a `b` & `c<d>` `") == "a <code>b</code> &amp; <code>c&lt;d&gt;</code> `"


@pytest.mark.parametrize(
    ("words", "read"), [("SAELens", "SAELens"), ("gPT-2 small", "GPT-2 small"), ("", "")]
)
def test_only_the_first_letter_is_changed(words: str, read: str) -> None:
    assert first_capital(words) == read
