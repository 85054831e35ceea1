"""Values against annotations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from mechscope.arguments import check_kinds, not_of_kind, shown


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, int), (np.int64(1), int), (None, int | None), (1, float), (np.float32(0.5), float), (True, bool),
        ("a", str | None), ([], list[str]), (("a",), list[str]), ([1, 2], tuple[int, ...]),
        ([1, 2.0], tuple[int, float]),
        ({"a": 1}, Mapping[str, int]), ({"a": object()}, dict[str, Any]), ("z", Literal["a"]), (None, Any),
        ([[1.0], []], tuple[tuple[float, ...], ...]), ([1], int | list[int]),
    ],
)  # fmt: skip
def test_what_fits(value: object, hint: object) -> None:
    assert not_of_kind(value, hint) is None


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (1.0, int, "a whole number"),
        (True, int, "a whole number"),
        ("1", int | None, "a whole number"),
        (None, int, "a whole number"),
        (True, float, "a finite number"),
        (math.nan, float, "a finite number"),
        (-math.inf, float | None, "a finite number"),
        (10**400, float, "a finite number"),
        (1, bool, "True or False"),
        (None, str, "text"),
        ("ab", list[str], "a list"),
        (["a", 1], list[str], "a list (each entry text)"),
        ([1], tuple[int, int], "a list of 2"),
        ([], dict[str, Any], "a table of names and values"),
        ({"a": "b"}, Mapping[str, float], "a table of names and values (each value a finite number)"),
    ],
)
def test_what_does_not(value: object, hint: object, words: str) -> None:
    assert not_of_kind(value, hint) == words


def test_measurements_may_be_infinite() -> None:
    assert not_of_kind(math.nan, float, finite=False) is None
    assert not_of_kind("nan", float, finite=False) == "a number"


@dataclass(frozen=True)
class Settings:
    width: int
    names: tuple[str, ...] = ()


def test_a_dataclass() -> None:
    check_kinds(Settings, {"width": 1, "other": object()})
    with pytest.raises(ValueError, match=r"names must be a list \(each entry text\), not \[3\]"):
        check_kinds(Settings, {"names": [3]})


def test_long_values_are_cut() -> None:
    assert shown("a" * 500) == "'" + "a" * 76 + "…"
    assert shown(10**5000) == "an int"
