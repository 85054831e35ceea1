"""Arguments of public functions, checked against their annotations before any work begins.

Numbers, names, models, tasks and tensors that stand in each other's place are refused in one sentence that names the
argument, what was found and what was expected. Values that have the right type but make no sense (a layer that does
not exist) are for the function itself to refuse.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# How an expected type is called in an error.
_WORDS = {
    "HookedTransformer": "a model (mechscope.load_model gives one)",
    "HookedEncoder": "an encoder (HookedEncoder.from_pretrained gives one)",
    "HookedRootModule": "a model with hook points",
    "Task": "a task (mechscope.tasks makes them)",
    "Dictionary": "a dictionary (mechscope.dictionaries builds or loads one)",
    "ActivationCache": "an activation cache (the second result of model.run_with_cache)",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str": "a string",
    "Path": "a path",
    "Tensor": "a tensor",
}


def checked_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: each call's arguments must fit the annotations of `function`.

    Sequences are checked element by element where they are lists, tuples or sets; of tensors only the kind is checked.

    Raises:
        TypeError: (when the function is called) for an argument of another type.

    >>> @checked_arguments
    ... def repeat(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeat("ab")
    'abab'
    >>> repeat("ab", times=1.5)
    Traceback (most recent call last):
    TypeError: repeat: `times` is a whole number, not 1.5.
    """
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> T:
        if not hints:
            hints.update(_resolved(function, signature))
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            hint = hints[name]
            if hint is Any or (value is None and signature.parameters[name].default is None):
                continue
            kind = signature.parameters[name].kind
            values: Iterable[Any] = [value]
            if kind is inspect.Parameter.VAR_POSITIONAL:
                values = value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                values = value.values()
            for one in values:
                if not fits(one, hint):
                    raise TypeError(_sentence(function.__name__, name, one, hint, bound.arguments, hints))
        return function(*args, **kwargs)

    return checking


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated kind; True where the annotation says nothing that can be checked.

    >>> fits(3, int), fits(True, int), fits("heads", typing.Sequence[str]), fits([1, "a"], list[int])
    (True, False, False, False)
    """
    if hint is Any or isinstance(hint, (TypeVar, ParamSpec, str)):
        return True
    if hint is None or hint is types.NoneType:
        return value is None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in args)
    if origin is typing.Literal:
        # A string that is not one of the choices is for the function to refuse: it knows why.
        return any(type(value) is type(one) for one in args)
    if origin is typing.Annotated:
        return fits(value, args[0])
    if origin is collections.abc.Callable or hint is Callable:
        return callable(value)
    if _is_array_hint(hint):
        return _is_tensor(value) or _is_array(value)
    if isinstance(origin, type):
        return _fits_container(value, origin, args)
    return not isinstance(hint, type) or _is_a(value, hint)


def _is_a(value: Any, hint: type) -> bool:
    """Whether a value is of a class, with the conventions of this package about numbers and paths."""
    if hint is bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    if hint in (int, float):
        if isinstance(value, bool) or type(value).__name__ == "bool_":
            return False
        wanted = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, wanted) or (_is_tensor(value) and _is_one_number(value, hint))
    if hint is Path:
        return isinstance(value, (str, os.PathLike)) and str(value) != ""
    if hint is object:
        return True
    # Classes that are imported for type checkers only are known by name.
    return isinstance(value, hint) or any(base.__name__ == hint.__name__ for base in type(value).__mro__)


def _fits_container(value: Any, origin: type, args: tuple[Any, ...]) -> bool:
    if issubclass(origin, collections.abc.Mapping):
        return isinstance(value, Mapping)
    if not issubclass(origin, collections.abc.Iterable):
        return isinstance(value, origin)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, collections.abc.Iterable):
        return False
    if not isinstance(value, (list, tuple, set, frozenset)):
        # A generator would be used up by looking, and a tensor's elements are its own affair.
        return origin is not tuple or not _is_tensor(value) or value.ndim == 1
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return not args or all(fits(one, args[0]) for one in value)


def _is_array_hint(hint: Any) -> bool:
    return hasattr(hint, "array_type") or getattr(hint, "__name__", "") in ("Tensor", "ndarray")


def _is_tensor(value: Any) -> bool:
    return any(base.__name__ in ("Tensor", "ndarray") for base in type(value).__mro__)


def _is_one_number(value: Any, hint: type) -> bool:
    kind = str(value.dtype)
    return value.ndim == 0 and "bool" not in kind and (hint is float or "int" in kind)


def _is_array(value: Any) -> bool:
    """Nested lists of numbers, which torch reads as a tensor."""
    if isinstance(value, (list, tuple)):
        return all(_is_array(one) for one in value)
    return isinstance(value, numbers.Number) or _is_tensor(value)


class _Names(dict[str, Any]):
    """The names of a module; one that it imports for type checkers only becomes a class of that name."""

    def __missing__(self, name: str) -> Any:
        builtins: Any = self["__builtins__"]
        found = builtins.get(name) if isinstance(builtins, dict) else getattr(builtins, name, None)
        return type(name, (), {}) if found is None else found


def _resolved(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    names = _Names(inspect.unwrap(function).__globals__)
    hints: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if annotation is inspect.Parameter.empty:
            annotation = Any
        hints[name] = eval(annotation, {}, names) if isinstance(annotation, str) else annotation
    return hints


def _sentence(
    function: str, name: str, value: Any, hint: Any, given: Mapping[str, Any], hints: Mapping[str, Any]
) -> str:
    swapped = [
        other
        for other, one in given.items()
        if other != name and hints[other] is not Any and not fits(one, hints[other])
        if fits(one, hint) and fits(value, hints[other])
    ]
    question = f" Were `{name}` and `{swapped[0]}` swapped?" if swapped else ""
    return f"{function}: `{name}` is {expected(hint)}, not {described(value)}.{question}"


def expected(hint: Any) -> str:
    """An annotation in words.

    >>> expected(int | None), expected(list[str])
    ('a whole number or None', 'a list of strings')
    """
    if hint is None or hint is types.NoneType:
        return "None"
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        words = list(dict.fromkeys(expected(one) for one in args))
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin is collections.abc.Callable or hint is Callable:
        return "a function"
    if _is_array_hint(hint):
        axes = getattr(hint, "dim_str", "").strip()
        return f"a tensor [{axes}]" if axes else "a tensor"
    if isinstance(origin, type):
        if issubclass(origin, collections.abc.Mapping):
            return "a dictionary of values by name"
        inner = [one for one in args if one is not Ellipsis]
        if origin is tuple and inner and args[-1] is not Ellipsis:
            return f"a tuple ({', '.join(expected(one) for one in inner)})"
        return f"a list of {_plural(inner[0])}" if inner else "a list"
    return _WORDS.get(getattr(hint, "__name__", ""), f"a {getattr(hint, '__name__', hint)}")


def _plural(hint: Any) -> str:
    words = {int: "whole numbers", float: "numbers", str: "strings", bool: "booleans"}
    if isinstance(hint, type) and hint in words:
        return words[hint]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_plural(one) for one in typing.get_args(hint))
    return expected(hint)


def described(value: Any) -> str:
    """A value as an error shows it.

    >>> described(2.5), described([1, 2, 3]), described(object)
    ('2.5', '[1, 2, 3]', 'the class object')
    """
    if value is None or isinstance(value, (bool, numbers.Number, str)):
        return repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}…"
    if _is_tensor(value):
        return f"a {type(value).__name__} of {value.dtype} {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if isinstance(value, (list, tuple, set, dict)) and len(repr(value)) < 60:
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
