"""Texts are filled with numbers that a filter has formatted; every mistake is named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mechscope.pages.markdown import render_lesson
from mechscope.pages.text_template import FILTERS, fill_text


@dataclass(frozen=True)
class Config:
    """Settings that a text quotes."""

    steps: int = 20_000


@pytest.mark.parametrize(
    ("mark", "written"),
    [
        ("x | fixed", "−1.23"),
        ("x | fixed(1)", "−1.2"),
        ("1234.5 | whole", "1,234"),
        ("99.96 | percent(1)", "100.0\u00a0%"),
        ("0.125 | share(1)", "12.5\u00a0%"),
        ("(x / 2) | change", "−62\u00a0%"),
        ("0.125 | change(1)", "+12.5\u00a0%"),
        ("missing | change", "not a number"),
        ("x | nats(3)", "−1.235\u00a0nats"),
        ("0.00012 | scientific", "1.2e-04"),
        ("123456 | significant", "120,000"),
        ("0.0456 | significant", "0.046"),
        ("10.53 | significant(3)", "10.5"),
        ("99.96 | significant(3)", "100"),
        ("-1234.56 | significant(5)", "−1,234.6"),
        ("heads | listed(' and ')", "1.0, 1.3 and 0.2"),
        ("heads[:1] | listed(' and ')", "1.0"),
        ("[] | listed", ""),
        ("config.steps | whole", "20,000"),
        ("config.steps", "20000"),
        ("'-3 and GPT-2'", "−3 and GPT-2"),
        ("(x / 2) | fixed", "−0.62"),
        ("missing | percent", "not a number"),
        ("missing | nats", "not a number"),
    ],
)
def test_filters(mark: str, written: str) -> None:
    values = {"x": -1.2346, "heads": ["1.0", "1.3", "0.2"], "config": Config(), "missing": float("nan")}
    assert fill_text(f"It is {{{{ {mark} }}}}.", values) == f"It is {written}."


def test_a_paragraph_is_kept_only_if_its_condition_holds() -> None:
    text = "One.\n{% if peer is defined %}\n\nThe peer: {{ peer | fixed }}.\n{% endif %}\n"
    assert fill_text(text, {}) == "One.\n"
    assert fill_text(text, {"peer": 2.0}) == "One.\n\nThe peer: 2.00.\n"


def test_a_name_without_a_value_is_an_error_with_the_nearest_names() -> None:
    with pytest.raises(KeyError, match=r"'acuracy', which has no value; did you mean accuracy"):
        fill_text("{{ acuracy | fixed }}", {"accuracy": 1.0})
    with pytest.raises(KeyError, match="has no attribute 'stepz'"):
        fill_text("{{ config.stepz | whole }}", {"config": Config()})


@pytest.mark.parametrize(
    "name", ["fixed", "whole", "percent", "share", "change", "nats", "scientific", "significant"]
)
@pytest.mark.parametrize("value", ["a word", True, None, [1.0]])
def test_a_filter_refuses_what_is_not_a_number(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        FILTERS[name](value)  # type: ignore[operator]


def test_a_float_without_a_filter_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"0\.3333.* without a filter; add one of fixed"):
        fill_text("{{ x }}", {"x": 1 / 3})


def test_a_mistake_in_the_syntax_names_its_line() -> None:
    with pytest.raises(ValueError, match="line 2 of the text is not a valid template"):
        fill_text("One\n{% if x %}", {"x": 1})


def test_formulas_are_left_alone() -> None:
    text = r"$\frac{1}{9}\sum_{k \neq c} \mu_{k}$ and $x_{#1}$, {#not a comment#}"
    assert fill_text(text, {}) == text


def test_the_old_mark_works_for_one_version() -> None:
    with pytest.warns(DeprecationWarning, match="is now written {{ NAME }}"):
        assert "3.14" in render_lesson("It is [[number value]].", {"value": "3.14"}, {})
