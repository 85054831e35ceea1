"""What a function's result depends on beyond its own code: the values that it carries with it.

A part of a run is computed by a function without arguments, usually a lambda or an inner function. If everything that
it captured can be described (numbers, text, tensors, settings, other functions), then its result depends on nothing
but these values and the source of the modules involved, and the part stays valid while both are unchanged.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

DEEPEST = 12
"""Deepest nesting of captured values that is described."""


@dataclass(frozen=True)
class Captured:
    """A function, described completely."""

    modules: frozenset[str]
    """Modules whose code takes part."""
    values: Mapping[str, Any]
    """Captured name → the value as JSON, or its checksum."""


class _UnknownError(Exception):
    """A value that cannot be described."""


def describe_captured(function: Callable[..., Any], *, known: tuple[type, ...] = ()) -> Captured | None:
    """The modules and values that a function depends on, or None if it captured something that cannot be described.

    >>> rate = 0.5
    >>> describe_captured(functools.partial(print, rate)) is None  # a built-in function has no source
    True

    Args:
        function: a function, lambda, bound method or partial.
        known: types whose values are part of the key anyway.
    """
    modules: set[str] = set()
    try:
        values = _function(function, known, modules, ())
    except _UnknownError:
        return None
    return Captured(frozenset(modules), values)


def modules_of(function: Callable[..., Any]) -> frozenset[str]:
    """The modules that define a function, what it wraps, and the functions that it captured."""
    modules: set[str] = set()
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, functools.partial):
            whole = cast("functools.partial[Any]", each)
            waiting += [whole.func, *whole.args, *whole.keywords.values()]
        elif isinstance(each, types.MethodType):
            modules.add(type(each.__self__).__module__)
            waiting.append(each.__func__)
        elif isinstance(each, types.FunctionType):
            modules.add(each.__module__)
            waiting += [cell.cell_contents for cell in each.__closure__ or () if cell != types.CellType()]
            waiting += [*(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()]
        elif each is function:
            modules.add(type(each).__module__)
    return frozenset(modules)


def _function(
    function: Any, known: tuple[type, ...], modules: set[str], above: tuple[int, ...]
) -> dict[str, Any]:
    if id(function) in above:
        return {"again": above.index(id(function))}
    above = (*above, id(function))
    if len(above) > DEEPEST:
        raise _UnknownError
    if isinstance(function, functools.partial):
        whole = cast("functools.partial[Any]", function)
        inner = {
            "function": whole.func,
            **{str(number): each for number, each in enumerate(whole.args)},
            **whole.keywords,
        }
        return {name: _value(value, known, modules, above) for name, value in inner.items()}
    if isinstance(function, types.MethodType):
        inner = {"self": function.__self__, "function": function.__func__}
        return {name: _value(value, known, modules, above) for name, value in inner.items()}
    if not isinstance(function, types.FunctionType):
        raise _UnknownError
    modules.add(function.__module__)
    captured: dict[str, Any] = {}
    try:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            captured[name] = cell.cell_contents
    except ValueError as error:  # a name that has no value yet
        raise _UnknownError from error
    for number, default in enumerate(function.__defaults__ or ()):
        captured[f"default {number}"] = default
    captured |= function.__kwdefaults__ or {}
    described = {name: _value(value, known, modules, above) for name, value in captured.items()}
    # Which lambda of a module it is, its place in the source says.
    called = "" if function.__name__ == "<lambda>" else function.__qualname__
    return {"": called, **described}


def _value(value: Any, known: tuple[type, ...], modules: set[str], above: tuple[int, ...]) -> Any:
    if isinstance(value, known):
        return type(value).__name__
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, bytes):
        return _checksum(value)
    if isinstance(value, torch.device | torch.dtype):
        return str(value)
    if type(value) in (Tensor, torch.nn.Parameter):
        array = value.detach().cpu().contiguous()
        shape = f"{array.dtype} {tuple(array.shape)}"
        return f"{shape} {_checksum(array.reshape(-1).view(torch.uint8).numpy().data)}"
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return f"{value.dtype} {value.shape} {_checksum(np.ascontiguousarray(value).tobytes())}"
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
        return _function(value, known, modules, above)
    if id(value) in above:
        return {"again": above.index(id(value))}
    above = (*above, id(value))
    if len(above) > DEEPEST:
        raise _UnknownError
    if isinstance(value, type):
        modules.add(value.__module__)
        return value.__qualname__
    if isinstance(value, enum.Enum):
        modules.add(type(value).__module__)
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        items = cast("Mapping[Any, Any]", value).items()
        described = [[_value(each, known, modules, above) for each in item] for item in items]
        # A file does not keep the order in which tensors were given.
        return sorted(described, key=lambda item: json.dumps(item[0]))
    # A list is often there to be filled, and says nothing about what is computed.
    if type(value) in (tuple, range):
        return [_value(each, known, modules, above) for each in value]
    if dataclasses.is_dataclass(value):
        modules.add(type(value).__module__)
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if {*getattr(value, "__dict__", ())} - {*fields}:
            raise _UnknownError  # it carries more than its fields
        described = {name: _value(each, known, modules, above) for name, each in fields.items()}
        return {"": type(value).__qualname__, **described}
    raise _UnknownError


def _checksum(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
