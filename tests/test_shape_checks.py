"""Shapes are checked in every module that declares some, and what a user sees stays the same."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Bool, Float, Int, TypeCheckError

from tests.shape_checks import LEFT_OUT, SOURCE, annotated_modules, check_shapes, checked_modules


def test_every_annotated_module_is_checked_or_left_out_for_a_reason() -> None:
    assert len(checked_modules()) > 150
    assert set(LEFT_OUT) <= set(annotated_modules())
    assert all(LEFT_OUT.values())


def _must_be_left_out(module: str) -> bool:
    """Whether it computes the parts of a run."""
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".load_or_compute", "train_together"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_no_module_is_left_out_without_need() -> None:
    assert [module for module in annotated_modules() if _must_be_left_out(module)] == sorted(LEFT_OUT)


@pytest.mark.parametrize("module", ["mechscope.model.components.attention", "mechscope.techniques.steering"])
def test_the_functions_of_a_checked_module_are_wrapped(module: str) -> None:
    functions = [value for value in vars(importlib.import_module(module)).values() if callable(value)]
    assert any(
        hasattr(member, "__wrapped__")
        for value in functions
        if getattr(value, "__module__", None) == module
        for member in (value, *vars(value).values())
    )


@check_shapes
def doubled(x: Float[torch.Tensor, "batch d"], count: int = 2) -> Float[torch.Tensor, "batch d"]:
    if x.ndim != 2:
        raise ValueError("x is a matrix")
    return torch.cat([x] * count) if count > 1 else x


def test_a_wrong_shape_is_an_error_after_the_function_s_own_checks() -> None:
    with pytest.raises(ValueError, match="x is a matrix"):
        doubled(torch.zeros(3))
    for _ in range(2):  # an error is not remembered as passed
        with pytest.raises(TypeCheckError, match=r"return value of .*doubled has another shape") as error:
            doubled(torch.zeros(3, 2))
    assert "x: torch.float32 (3, 2)" in str(error.value)
    assert "return value: torch.float32 (6, 2)" in str(error.value)
    assert doubled(torch.zeros(3, 2), True).shape == (3, 2)  # wrong types are not our business


def test_wrong_types_of_tensors_are_errors() -> None:
    assert doubled(torch.zeros(3, 2), 1).shape == (3, 2)
    # Its sizes have passed, its type has not.
    with pytest.raises(TypeCheckError):
        doubled(torch.zeros(3, 2, dtype=torch.long), 1)


@check_shapes
def mixed(
    first: Float[torch.Tensor, "batch d"],
    *others: Float[torch.Tensor, "batch d"],
    mask: Bool[torch.Tensor, " batch"] | None = None,
) -> tuple[Float[torch.Tensor, "batch d"], list[Int[torch.Tensor, " batch"]]]:
    return first, [torch.zeros(len(first if mask is None else mask), dtype=torch.long)]


def test_arguments_are_checked_however_they_are_given() -> None:
    x = torch.zeros(3, 2)
    mixed(x)
    mixed(first=x)
    mixed(x, x, mask=torch.ones(3, dtype=torch.bool))
    for wrong in (
        lambda: mixed(first=torch.zeros(3, dtype=torch.long)),
        lambda: mixed(x, torch.zeros(4, 2)),
        lambda: mixed(x, mask=torch.ones(4, dtype=torch.bool)),
        lambda: mixed(x, mask=torch.ones(3)),
    ):
        with pytest.raises(TypeCheckError):
            wrong()


def test_values_inside_of_lists_are_checked_in_every_call() -> None:
    @check_shapes
    def first(rows: list[Float[torch.Tensor, " d"]]) -> torch.Tensor:
        return rows[0]

    first([torch.zeros(2)])
    with pytest.raises(TypeCheckError):
        first([torch.zeros(2, 2)])


def test_fields_of_dataclasses_are_checked() -> None:
    @check_shapes
    @dataclass(frozen=True)
    class Pair:
        one: Float[torch.Tensor, " d"]
        other: Float[torch.Tensor, " d"]

    Pair(torch.zeros(2), torch.ones(2))
    with pytest.raises(TypeCheckError):
        Pair(torch.zeros(2), torch.ones(3))


def test_what_has_no_shapes_is_left_as_it_is() -> None:
    def plain(x: int) -> int:
        return x

    def generated(x: Float[torch.Tensor, " d"]) -> Iterator[Float[torch.Tensor, ""]]:
        yield from x

    assert check_shapes(plain) is plain
    assert check_shapes(generated) is generated


def test_shapes_in_further_keywords_are_refused() -> None:
    def function(**tensors: Float[torch.Tensor, " d"]) -> None: ...

    with pytest.raises(NotImplementedError, match=r"\*\*tensors"):
        check_shapes(function)
