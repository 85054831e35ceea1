"""Shapes in signatures are checked while tests run, and nowhere else."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import GeneratorType
from typing import Any, get_args

import jaxtyping
import numpy as np
from beartype.door import is_bearable
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook, jaxtyped
from torch import Tensor
from torch.nn import Parameter

SOURCE = Path(__file__).parent.parent / "src"

_PARTS = "runs/ identifies a part by what its function carries along, and a wrapper hides that"
LEFT_OUT = {
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
    "mechscope.recipes.digits_cnn": _PARTS,
    "mechscope.recipes.policy_training": _PARTS,
}
"""Modules whose shapes are not checked, and why."""
_NOT_GIVEN = object()
"""Stands for an argument that a call leaves to its default."""
_ARRAYS = (Tensor, Parameter, np.ndarray)
"""Types whose values fit an annotation by their sizes and number type."""
_PLAIN = (type(None), bool, int, float, str, type(_NOT_GIVEN))
"""Types whose values fit all the shapes of an annotation or none."""


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


def install_shape_checks() -> None:
    """Check shapes in every annotated module that is imported from now on.

    jaxtyping's import hook puts `@jaxtyping.jaxtyped(...)` before all functions and classes of these modules. Its own
    decorator binds and checks the arguments of every call, also of functions without shapes; it took more than half of
    the time of the tests that compute. So `check_shapes` stands in for it.
    """
    jaxtyping.jaxtyped = lambda typechecker: check_shapes
    install_import_hook(checked_modules(), None)


def check_shapes(defined: Any) -> Any:
    """Decorate a function so that its shapes are checked, or a dataclass so that those of its fields are.

    Functions without shapes are returned as they are, and so are generator functions. Wrong types are left to the
    package's own checks. Arguments are checked together with the returned value, when the function has returned: for a
    wrong shape, the error is the function's own, and a test sees what a user would see.
    """
    if isinstance(defined, type):
        if dataclasses.is_dataclass(defined) and not hasattr(defined.__init__, "__wrapped__"):
            defined.__init__ = check_shapes(defined.__init__)
        return defined
    hints = {name: _resolved(hint, defined.__globals__) for name, hint in defined.__annotations__.items()}
    hints = {name: hint for name, hint in hints.items() if _has_shape(hint)}
    if not hints or inspect.isgeneratorfunction(defined):
        return defined
    check = _Check(defined, hints)

    @functools.wraps(defined)
    def checked(*args: Any, **kwargs: Any) -> Any:
        result = defined(*args, **kwargs)
        check(args, kwargs, result)
        return result

    return checked


class _Check:
    """The check of one function's calls.

    Not a function, so that runs/ does not take it for a part of what a function captured.
    """

    def __init__(self, function: Callable[..., Any], hints: Mapping[str, Any]) -> None:
        self.name = f"{function.__module__}.{function.__qualname__}"
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        # Where each argument stands if it is given by position; one that only a keyword can give stands nowhere.
        places = [*range(code.co_argcount), *[sys.maxsize] * code.co_kwonlyargcount]
        self.places = {name: place for name, place in zip(names, places, strict=True) if name in hints}
        self.hints = {name: hints[name] for name in self.places}
        self.rest: int | None = None
        others = set(hints) - set(names) - {"return"}
        if code.co_flags & inspect.CO_VARARGS and (rest := code.co_varnames[len(names)]) in others:
            self.rest = code.co_argcount
            self.hints[f"*{rest}"] = tuple[hints[rest], ...]
            others.remove(rest)
        if others:
            raise NotImplementedError(f"{self.name} has shapes in **{others.pop()}, which no check reads")
        if "return" in hints:
            self.hints["return value"] = hints["return"]
        self.passed: set[Any] = set()

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        # What a generator yields is computed after this.
        if isinstance(result, GeneratorType):
            return
        values = [
            args[place] if place < len(args) else kwargs.get(name, _NOT_GIVEN)
            for name, place in self.places.items()
        ]
        if self.rest is not None:
            values.append(args[self.rest :])
        if "return value" in self.hints:
            values.append(result)
        # The same types and sizes have the same result.
        key = _key(values)
        if key is None or key not in self.passed:
            self._compare(values)
            if key is not None:
                self.passed.add(key)

    def _compare(self, values: Sequence[Any]) -> None:
        with jaxtyped("context"):  # an axis has one size in all arguments and the returned value
            for (name, hint), value in zip(self.hints.items(), values, strict=True):
                if value is not _NOT_GIVEN and not is_bearable(value, hint):
                    found = "\n".join(
                        f"    {name}: {_shown(value)}, annotated {self.hints[name]}"
                        for name, value in zip(self.hints, values, strict=True)
                    )
                    raise TypeCheckError(f"the {name} of {self.name} has another shape or type:\n{found}")


def _key(values: Sequence[Any]) -> tuple[Any, ...] | None:
    """The types and sizes of values, or None if there is more to a value than that."""
    key: list[Any] = []
    for value in values:
        kind = type(value)
        if kind in _ARRAYS:
            key += (kind, value.dtype, tuple(value.shape))
        elif kind in _PLAIN:
            key.append(kind)
        elif kind is tuple and (inner := _key(value)) is not None:
            key.append(inner)
        else:
            return None
    return tuple(key)


def _shown(value: Any) -> str:
    if type(value) in _ARRAYS:
        return f"{value.dtype} {tuple(value.shape)}"
    return "not given" if value is _NOT_GIVEN else type(value).__name__


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    """The type that an annotation stands for, or None for a name that only type checkers know."""
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, names)
    except Exception:
        return None


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_shape, get_args(hint)))
