"""Shapes in signatures are checked while tests run, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray

SOURCE = Path(__file__).parent.parent / "src"

LEFT_OUT: dict[str, str] = {}
"""Modules whose shapes are not checked, and why."""


def annotated_modules() -> list[str]:
    """Every module of the package that has shapes in its annotations."""
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((SOURCE / "mechscope").rglob("*.py"))
        if "from jaxtyping import" in path.read_text(encoding="utf-8")
    ]


def checked_modules() -> list[str]:
    """Every annotated module except those in LEFT_OUT."""
    return [module for module in annotated_modules() if module not in LEFT_OUT]


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The type checker for jaxtyping's import hook: beartype, on those annotations only that contain a shape.

    Wrong types are left to the package's own checks, whose messages say more.
    """
    shapes = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    if not shapes:
        return function
    function.__annotations__ = shapes
    return beartype(function)


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_shape, get_args(hint)))
