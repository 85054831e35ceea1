"""Does a value fit an annotation, and how does an error name the annotation?"""

from __future__ import annotations

import collections.abc
import os
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mechscope.arguments._numbers import NUMBER_WORDS, is_number
from mechscope.arguments._shown import is_array

# How an error names the expected type.
_WORDS = {
    "HookedTransformer": "a model (mechscope.load_model gives one)",
    "HookedEncoder": "an encoder (HookedEncoder.from_pretrained gives one)",
    "HookedRootModule": "a model with hook points",
    "Task": "a task (mechscope.tasks makes them; tasks.from_prompts from your own texts)",
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


def choices_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union, nested ones included; any other annotation as the only member.

    >>> choices_of(int | None), choices_of(str)
    ((<class 'int'>, <class 'NoneType'>), (<class 'str'>,))
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in typing.get_args(hint) for choice in choices_of(part))
    return (hint,)


def is_array_hint(hint: Any) -> bool:
    """Whether an annotation is a tensor or an array type."""
    return hasattr(hint, "array_type") or getattr(hint, "__name__", "") in ("Tensor", "ndarray")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value fits an annotation; True if the annotation cannot be checked.

    >>> fits(3, int), fits(True, int), fits("heads", typing.Sequence[str]), fits([1, "a"], list[int])
    (True, False, False, False)
    """
    if hint is Any or isinstance(hint, (TypeVar, ParamSpec, str)):
        return True
    if hint is None or hint is types.NoneType:
        return value is None
    choices = choices_of(hint)
    if len(choices) > 1:
        return any(fits(value, one) for one in choices)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        # Only the type is checked: the function itself can explain why it refuses a value.
        return any(type(value) is type(one) for one in args)
    if origin is typing.Annotated:
        return fits(value, args[0])
    if origin is collections.abc.Callable or hint is Callable:
        return callable(value)
    if is_array_hint(hint):
        return is_array(value)
    if isinstance(origin, type):
        return _fits_container(value, origin, args)
    return not isinstance(hint, type) or is_a(value, hint)


def is_a(value: Any, hint: type) -> bool:
    """Whether a value is an instance of a class; numbers and paths follow the package's conventions.

    A tensor or array with a single number counts as that number, a string as a path.
    """
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
        return True  # checking the elements would use up a generator
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return not args or all(fits(one, args[0]) for one in value)


def _is_one_number(value: Any, hint: type) -> bool:
    kind = str(value.dtype)
    return value.ndim == 0 and "bool" not in kind and (hint is float or "int" in kind)


def expected(hint: Any) -> str:
    """An annotation in words.

    >>> expected(int | None), expected(list[str])
    ('a whole number or None', 'a list of strings')
    """
    if hint is None or hint is types.NoneType:
        return "None"
    if hint is Any:
        return "anything"
    choices = choices_of(hint)
    if len(choices) > 1:
        words = list(dict.fromkeys(expected(one) for one in choices))
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin is collections.abc.Callable or hint is Callable:
        return "a function"
    if is_array_hint(hint):
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
    choices = choices_of(hint)
    return " or ".join(_plural(one) for one in choices) if len(choices) > 1 else expected(hint)
