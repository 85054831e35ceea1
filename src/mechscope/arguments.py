"""Check the arguments of public functions against their annotations before any work begins.

An argument of the wrong type is refused in one sentence that names it, what was found and what was expected. Values of
the right type that make no sense (a layer that does not exist) are for the function itself to refuse.
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

from mechscope.near_names import near_names
from mechscope.value_kinds import NUMBER_WORDS, is_array, is_number, shown

P = ParamSpec("P")
T = TypeVar("T")

# How an error names the expected type.
_WORDS = {
    "HookedTransformer": "a model (mechscope.load_model gives one)",
    "HookedEncoder": "an encoder (HookedEncoder.from_pretrained gives one)",
    "HookedRootModule": "a model with hook points",
    "Task": "a task (mechscope.tasks makes them)",
    "Dictionary": "a dictionary (mechscope.dictionaries builds or loads one)",
    "ActivationCache": "an activation cache (the second result of model.run_with_cache)",
    **{kind.__name__: words for kind, words in NUMBER_WORDS.items()},
    "str": "a string",
    "Path": "a path",
    "Tensor": "a tensor",
    "Codes": "a dictionary, or anything with encode and decode",
    "Generator": "a torch.Generator",
    "Stream": "a stream of activations (such as ModelStream)",
}


class WrongArgumentError(TypeError, ValueError):
    """An argument of the wrong type; also a ValueError, which the package raises for all other bad input."""


def checked_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: each call's arguments must fit the annotations.

    Lists, tuples and sets are checked element by element, tensors only for being tensors. An array or a list of numbers
    is converted where a tensor is expected, and a tensor or array [n] where a list is expected.

    Raises:
        WrongArgumentError: when the function is called with an argument of the wrong type.

    >>> @checked_arguments
    ... def repeat(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeat("ab")
    'abab'
    >>> repeat("ab", times=1.5)
    Traceback (most recent call last):
    mechscope.arguments.WrongArgumentError: repeat: `times` is a whole number, not 1.5.
    """
    signature = inspect.signature(function)
    name_of = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> T:
        if not hints:
            hints.update(_resolved(function, signature))
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name_of}: {error}.{_nearest(kwargs, signature)}") from None
        for name, value in bound.arguments.items():
            hint = hints[name]
            if hint is Any or (value is None and signature.parameters[name].default is None):
                continue
            kind = signature.parameters[name].kind
            values: Iterable[Any]
            if kind is inspect.Parameter.VAR_POSITIONAL:
                values = value or ()
            elif kind is inspect.Parameter.VAR_KEYWORD:
                values = (value or {}).values()
            else:
                bound.arguments[name] = value = _converted(value, hint)
                values = [value]
            for one in values:
                if not fits(one, hint):
                    raise WrongArgumentError(_sentence(name_of, name, one, hint, bound.arguments, hints))
        return function(*bound.args, **bound.kwargs)

    return checking


def _nearest(kwargs: Mapping[str, Any], signature: inspect.Signature) -> str:
    """Which argument was meant, where a name is unknown."""
    unknown = next((name for name in kwargs if name not in signature.parameters), None)
    near = [] if unknown is None else near_names(unknown, signature.parameters)
    return f" Did you mean {near[0]}?" if near else ""


def check_switches(**switches: object) -> None:
    """Refuse what is neither True nor False, by name.

    >>> check_switches(reset_hooks_end="no")
    Traceback (most recent call last):
    mechscope.arguments.WrongArgumentError: reset_hooks_end is True or False, not 'no'.
    """
    for name, value in switches.items():
        if not fits(value, bool):
            raise WrongArgumentError(f"{name} is True or False, not {shown(value)}.")


def checked_constructor(cls: type[T]) -> type[T]:
    """`checked_arguments` for the constructor of a class, dataclasses included.

    >>> @checked_constructor
    ... class Circle:
    ...     def __init__(self, radius: float) -> None: ...
    >>> Circle("wide")
    Traceback (most recent call last):
    mechscope.arguments.WrongArgumentError: Circle: `radius` is a number, not 'wide'.
    """
    cls.__init__ = checked_arguments(cls.__init__)
    return cls


def fits(value: Any, hint: Any) -> bool:
    """Whether a value fits an annotation; True if the annotation cannot be checked.

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
        # The function itself refuses a string that is not one of the choices: it can say why.
        return any(type(value) is type(one) for one in args)
    if origin is typing.Annotated:
        return fits(value, args[0])
    if origin is collections.abc.Callable or hint is Callable:
        return callable(value)
    if _is_array_hint(hint):
        return is_array(value)
    if isinstance(origin, type):
        return _fits_container(value, origin, args)
    return not isinstance(hint, type) or _is_a(value, hint)


def _is_a(value: Any, hint: type) -> bool:
    """Whether a value is an instance of a class; numbers and paths follow the package's conventions."""
    if hint is bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    if hint in (int, float):
        return is_number(value, hint) or (is_array(value) and _is_one_number(value, hint))
    if hint is Path:
        return isinstance(value, (str, os.PathLike)) and str(value) != ""
    if hint is object:
        return True
    if getattr(hint, "_is_protocol", False):
        return all(hasattr(value, name) for name in _members(hint))
    # Classes that are imported only for type checkers are compared by name.
    return isinstance(value, hint) or any(base.__name__ == hint.__name__ for base in type(value).__mro__)


def _members(protocol: type) -> set[str]:
    names = {*vars(protocol), *getattr(protocol, "__annotations__", {})}
    return {name for name in names if not name.startswith("_")}


def _fits_container(value: Any, origin: type, args: tuple[Any, ...]) -> bool:
    if issubclass(origin, collections.abc.Mapping):
        return isinstance(value, Mapping)
    if not issubclass(origin, collections.abc.Iterable):
        return isinstance(value, origin)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, collections.abc.Iterable):
        return False
    if not isinstance(value, (list, tuple, set, frozenset)):
        if is_array(value):
            tensor: Any = value
            return tensor.ndim > 0 and (tensor.ndim == 1 or all(fits(row, args[0]) for row in tensor[:1]))
        if not issubclass(collections.abc.Iterator, origin):  # a list or sequence, not any iterable
            return isinstance(
                value, (collections.abc.Sequence, collections.abc.Set, collections.abc.ValuesView)
            )
        return True  # a generator would be used up by looking
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return not args or all(fits(one, args[0]) for one in value)


def _is_array_hint(hint: Any) -> bool:
    return hasattr(hint, "array_type") or getattr(hint, "__name__", "") in ("Tensor", "ndarray")


def _is_one_number(value: Any, hint: type) -> bool:
    kind = str(value.dtype)
    return value.ndim == 0 and "bool" not in kind and (hint is float or "int" in kind)


def _converted(value: Any, hint: Any) -> Any:
    """Convert a list if only a tensor is expected, a tensor [n] if only a list is, and integers to Python's.

    As an index, NumPy's uint8 would be taken for a mask, and as a seed no integer but Python's will do.
    """
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    arrays = any(map(_is_array_hint, options))
    lists = any(
        isinstance(origin, type) and issubclass(origin, collections.abc.Iterable)
        for origin in map(typing.get_origin, options)
    )
    if lists and not arrays and is_array(value) and value.ndim == 1:
        return value.tolist()
    if int in options and _is_other_integer(value) and not (arrays and is_array(value)):
        return int(value)
    if type(value) in (list, tuple) and any(map(_lists_integers, options)):
        return type(value)(int(one) if _is_other_integer(one) else one for one in value)
    if arrays and not lists and (type(value).__name__ == "ndarray" or _is_nested_numbers(value)):
        import torch

        return torch.as_tensor(value)
    return value


def _is_other_integer(value: Any) -> bool:
    """Whether a value is a single integer of NumPy or torch."""
    return not isinstance(value, int) and _is_a(value, int)


def _lists_integers(hint: Any) -> bool:
    """Whether an annotation is a list, tuple or the like of whole numbers, perhaps among others."""
    inner = typing.get_args(hint)[:1] if isinstance(typing.get_origin(hint), type) else ()
    return any(one is int or int in typing.get_args(one) for one in inner)


def _is_nested_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers, or nested lists of equal length."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if all(isinstance(one, numbers.Number) for one in value):
        return True
    return all(map(_is_nested_numbers, value)) and len({len(one) for one in value}) == 1


class _ByName(type):
    """A placeholder for a class known only by name; attributes work too: `pd.DataFrame` gives a DataFrame."""

    def __getattr__(cls, name: str) -> Any:
        if not name[:1].isupper():
            raise AttributeError(name)
        return _ByName(name, (), {})


class _Names(dict[str, Any]):
    """The names of a module; a name that it imports only for type checkers becomes a placeholder class."""

    def __missing__(self, name: str) -> Any:
        if name.startswith("__"):
            raise KeyError(name)
        builtins: Any = self["__builtins__"]
        found = builtins.get(name) if isinstance(builtins, dict) else getattr(builtins, name, None)
        return _ByName(name, (), {}) if found is None else found


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
    return f"{function}: `{name}` is {expected(hint)}, not {shown(value)}.{question}"


def expected(hint: Any) -> str:
    """An annotation in words.

    >>> expected(int | None), expected(list[str])
    ('a whole number or None', 'a list of strings')
    """
    if hint is None or hint is types.NoneType:
        return "None"
    if hint is Any:
        return "anything"
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
    if hint is Any:
        return "values"
    if isinstance(hint, type) and hint in words:
        return words[hint]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_plural(one) for one in typing.get_args(hint))
    return expected(hint)
