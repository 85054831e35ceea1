"""What a function captured decides its result as its code does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.runs.captured_values import describe_captured, modules_of


@dataclass(frozen=True)
class Settings:
    """Of a training."""

    steps: int = 3
    rates: tuple[float, ...] = (0.1, 0.2)
    start: torch.Tensor | None = None


def capture(value: Any, default: Any = None) -> Callable[[], Any]:
    return lambda default=default: (value, default)


def values(function: Callable[..., Any]) -> Any:
    found = describe_captured(function)
    assert found is not None
    return found.values


PAIRS = [
    (1, 2),
    (1, 1.5),
    ("a", "b"),
    (None, False),
    (b"a", b"b"),
    ((1, 2), (1, 3)),
    ({"a": 1}, {"a": 2}),
    (torch.zeros(2), torch.ones(2)),
    (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    (torch.zeros(2, 3), torch.zeros(3, 2)),
    ({"w": torch.zeros(2, dtype=torch.bfloat16)}, {"w": torch.ones(2, dtype=torch.bfloat16)}),
    (np.zeros(2), np.ones(2)),
    (Settings(), Settings(steps=4)),
    (Settings(start=torch.zeros(1)), Settings(start=torch.ones(1))),
    (torch.device("cpu"), torch.device("meta")),
    (capture(1), capture(2)),
    (capture, values),
    (Settings, pytest.param),
]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_another_value_is_another_description(one: Any, two: Any) -> None:
    assert values(capture(one)) != values(capture(two))
    assert values(capture(one)) == values(capture(one))
    assert values(capture(0, one)) != values(capture(0, two))
    assert values(functools.partial(capture, one)) != values(functools.partial(capture, two))


def test_an_equal_copy_is_the_same_value() -> None:
    one, two = Settings(start=torch.arange(3.0)), replace(Settings(), start=torch.arange(6.0)[:3])
    assert values(capture(one)) == values(capture(two))
    columns = torch.arange(6.0).reshape(2, 3).T
    assert values(capture(columns)) == values(capture(columns.contiguous()))
    assert values(capture({"a": 1, "b": 2})) == values(capture({"b": 2, "a": 1}))


@pytest.mark.parametrize(
    "value",
    [[1], object(), open, (1, [2]), {"a": object()}, (one for one in ()), torch.nn.Linear(1, 1), [].append],
)
def test_what_cannot_be_described_is_said_to_be_unknown(value: Any) -> None:
    assert describe_captured(capture(value)) is None
    assert describe_captured(capture(capture(value))) is None


def test_a_name_without_a_value_and_a_cycle() -> None:
    def early() -> int:
        return late

    assert describe_captured(early) is None
    late = 1
    assert values(early)["late"] == 1

    def itself(n: int) -> int:
        return itself(n - 1) if n else 0

    assert values(itself) == values(itself)


def test_modules_are_those_of_every_function_and_class() -> None:
    found = describe_captured(capture((Settings(), functools.partial(replace, Settings()))))
    assert found is not None
    assert found.modules == {__name__, "dataclasses"}
    assert modules_of(capture(functools.partial(replace, Settings()))) == {__name__, "dataclasses"}
    assert modules_of(functools.partial(capture, replace)) == {__name__, "dataclasses"}
    assert __name__ in modules_of(capture(object()))


def test_known_values_are_named_only() -> None:
    found = describe_captured(capture(torch.nn.Linear(1, 1)), known=(torch.nn.Module,))
    assert found is not None
    assert found.values["value"] == "Linear"
