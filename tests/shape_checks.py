"""Shapes in signatures are checked while tests run, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import GeneratorType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray

SOURCE = Path(__file__).parent.parent / "src"

_GENERATOR = (
    "torch.no_grad() treats generator functions in its own way, and does not recognise one that is wrapped"
)
_PARTS = "runs/ identifies a part by what its function carries along, and a wrapper hides that"
LEFT_OUT = {
    "mechscope.cli.sae._feature_text": _GENERATOR,
    "mechscope.labs.grokking.bundled_study": _PARTS,
    "mechscope.labs.grokking.composition": _PARTS,
    "mechscope.labs.grokking.third_party": _PARTS,
    "mechscope.labs.grokking.training": _PARTS,
    "mechscope.labs.induction.smollm2": _PARTS,
    "mechscope.labs.induction.text_models": _PARTS,
    "mechscope.labs.induction.training": _PARTS,
    "mechscope.labs.sae.ground_truth": _PARTS,
    "mechscope.labs.sae.real_model": _PARTS,
    "mechscope.labs.sae.text_study": _PARTS,
    "mechscope.labs.superposition.arrangements": _PARTS,
    "mechscope.labs.superposition.training": _PARTS,
    "mechscope.model.generation": _GENERATOR,
    "mechscope.recipes.digits_cnn": _PARTS,
    "mechscope.recipes.policy_training": _PARTS,
}
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

    Wrong types are left to the package's own checks. Arguments are checked together with the returned value, when the
    function has returned: for a wrong shape, the error is the function's own, and a test sees what a user would see.
    jaxtyping calls this twice per function: with a stand-in for its parameters alone, which is left unchecked, and with
    one for parameters and returned value, which takes that value as a keyword `ret0` (or another number).
    """
    code = function.__code__
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    returned = next((name for name in keywords if re.fullmatch(r"ret\d+", name)), None)
    shapes = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    if returned is None or not shapes:
        return function
    function.__annotations__ = shapes
    return _Check(beartype(function), returned)


@dataclass(frozen=True)
class _Check:
    """Not a function, so that runs/ does not take it for a part of what a function captured."""

    check: Callable[..., Any]
    returned: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A generator is returned before its own checks have run.
        if isinstance(kwargs[self.returned], GeneratorType):
            return kwargs[self.returned]
        return self.check(*args, **kwargs)


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_shape, get_args(hint)))
