"""Shapes are checked in every module that declares some, and what a user sees stays the same."""

from __future__ import annotations

import ast
import importlib

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped

from tests.shape_checks import LEFT_OUT, SOURCE, annotated_modules, check_shapes, checked_modules


def test_every_annotated_module_is_checked_or_left_out_for_a_reason() -> None:
    assert len(checked_modules()) > 150
    assert set(LEFT_OUT) <= set(annotated_modules())
    assert all(LEFT_OUT.values())


def _must_be_left_out(module: str) -> bool:
    """Whether it has a generator function under torch.no_grad(), or computes the parts of a run."""
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            (".load_or_compute", "train_together")
        ):
            return True
        if isinstance(node, ast.FunctionDef):
            decorated = any("torch." in ast.unparse(decorator) for decorator in node.decorator_list)
            if decorated and any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node)):
                return True
    return False


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


@jaxtyped(typechecker=check_shapes)
def doubled(x: Float[torch.Tensor, "batch d"], count: int = 2) -> Float[torch.Tensor, "batch d"]:
    if x.ndim != 2:
        raise ValueError("x is a matrix")
    return torch.cat([x] * count) if count > 1 else x


def test_a_wrong_shape_is_an_error_after_the_function_s_own_checks() -> None:
    with pytest.raises(ValueError, match="x is a matrix"):
        doubled(torch.zeros(3))
    with pytest.raises(TypeCheckError, match="return value of"):
        doubled(torch.zeros(3, 2))
    assert doubled(torch.zeros(3, 2), True).shape == (3, 2)  # wrong types are not our business


def test_wrong_types_of_tensors_are_errors() -> None:
    with pytest.raises(TypeCheckError):
        doubled(torch.zeros(3, 2, dtype=torch.long), 1)
