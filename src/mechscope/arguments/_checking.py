"""Decorators that check the arguments of a call against the annotations of the function."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from mechscope.arguments._annotations import choices_of, expected, fits, is_a, is_array_hint
from mechscope.arguments._shown import is_array, shown
from mechscope.near_names import did_you_mean

P = ParamSpec("P")
T = TypeVar("T")


class WrongArgumentError(TypeError, ValueError):
    """An argument of the wrong type; also a ValueError, which the package raises for all other bad input."""

    __module__ = "mechscope.arguments"


def checked_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that the arguments of each call must fit its annotations.

    Lists, tuples and sets are checked element by element; of a tensor, only that it is one. An array or a list of
    numbers is converted to a tensor where one is expected, and a tensor or array [n] to a list.

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
            unknown = next((name for name in kwargs if name not in signature.parameters), None)
            hint = "" if unknown is None else did_you_mean(unknown, signature.parameters)
            raise TypeError(f"{name_of}: {error}.{hint}") from None
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


def check_switches(**switches: object) -> None:
    """Check that each of the named values is True or False.

    >>> check_switches(reset_hooks_end="no")
    Traceback (most recent call last):
    mechscope.arguments.WrongArgumentError: reset_hooks_end is True or False, not 'no'.
    """
    for name, value in switches.items():
        if not fits(value, bool):
            raise WrongArgumentError(f"{name} is True or False, not {shown(value)}.")


def checked_constructor(cls: type[T]) -> type[T]:
    """Decorate a class, perhaps a dataclass, so that the arguments of its constructor must fit the annotations.

    >>> @checked_constructor
    ... class Circle:
    ...     def __init__(self, radius: float) -> None: ...
    >>> Circle("wide")
    Traceback (most recent call last):
    mechscope.arguments.WrongArgumentError: Circle: `radius` is a number, not 'wide'.
    """
    cls.__init__ = checked_arguments(cls.__init__)
    return cls


def _converted(value: Any, hint: Any) -> Any:
    """Convert a list to a tensor if only a tensor fits, a tensor [n] to a list if only a list does, and the integers
    of NumPy and torch to Python's.

    An index of type uint8 would be read as a mask, and seeds must be Python integers.
    """
    options = choices_of(hint)
    arrays = any(map(is_array_hint, options))
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
    return not isinstance(value, int) and is_a(value, int)


def _lists_integers(hint: Any) -> bool:
    """Whether an annotation is a list, a tuple or the like whose elements may be whole numbers."""
    inner = typing.get_args(hint)[:1] if isinstance(typing.get_origin(hint), type) else ()
    return any(one is int or int in typing.get_args(one) for one in inner)


def _is_nested_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers, or nested lists of equal lengths."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if all(isinstance(one, numbers.Number) for one in value):
        return True
    return all(map(_is_nested_numbers, value)) and len({len(one) for one in value}) == 1


class _ByName(type):
    """A placeholder for a class that is only known by name; also for attributes such as `pd.DataFrame`."""

    def __getattr__(cls, name: str) -> Any:
        if not name[:1].isupper():
            raise AttributeError(name)
        return _ByName(name, (), {})


class _Names(dict[str, Any]):
    """The names of a module; names that it imports only for type checkers are placeholder classes."""

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
