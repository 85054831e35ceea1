"""Copies and views of weights that refuse edits which would not reach the model.

`model.W_Q` stacks the weights of the layers, and `attn.W_K` repeats a key/value head for each of its query heads. Both
are copies, so writing to them would not change the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch


class _Guarded(torch.Tensor):
    """A tensor that is displayed, copied and pickled like a plain tensor."""

    advice: str = "it is combined from the model's weights"

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return repr(_plain(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _plain(self).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        return copy.deepcopy(_plain(self), memo)


class WeightCopy(_Guarded):
    """A copy of weights: read it and compute with it like any tensor, but writing to it is an error.

    The same holds for views of it, such as `model.W_Q[0]` and the array of `.numpy()`, which is read-only. Results
    computed from it, including `.clone()`, are plain tensors.
    """

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        copies = [part for part in _parts((args, *kwargs.values())) if isinstance(part, WeightCopy)]
        with torch._C.DisableTorchFunctionSubclass():
            if _assigns_data(func, args, WeightCopy):
                return None
            before = [_version(part) for part in copies]
            result = func(*args, **kwargs)
            for part, version in zip(copies, before, strict=True):
                if _version(part) != version:
                    raise RuntimeError(_edit_error(part))
            if isinstance(result, np.ndarray):
                # It shares the memory of the copy, so edits would be lost too; NumPy refuses to write to it.
                result.flags.writeable = False
                return result
            return _wrapped(result, copies)


class TiedWeight(_Guarded):
    """A view of another weight: writing to it changes that weight; assigning its `.data`, which would not, fails."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if _assigns_data(func, args, TiedWeight):
                return None
            return _unwrapped(func(*args, **(kwargs or {})), TiedWeight)


def weight_copy(weights: torch.Tensor, advice: str) -> torch.Tensor:
    """Guard a tensor that was made from weights against edits that would be lost.

    Args:
        weights: a tensor that shares no memory with the parameters.
        advice: what the tensor is and where to write instead; the end of the error message.
    """
    guarded = weights.as_subclass(WeightCopy)
    guarded.advice = advice
    return guarded


def tied_weight(weights: torch.Tensor, advice: str) -> torch.Tensor:
    """Guard a view of a parameter against `.data = …`, which would not reach the parameter."""
    guarded = weights.as_subclass(TiedWeight)
    guarded.advice = advice
    return guarded


def _assigns_data(func: Callable[..., Any], args: tuple[Any, ...], kind: type[_Guarded]) -> bool:
    """Whether a call assigns `.data`; raises if that would give a tensor of this kind other memory."""
    if func != torch.Tensor.data.__set__:  # type: ignore[attr-defined]
        return False
    # `x.data -= y` ends by assigning `.data` to itself, which is allowed.
    if isinstance(args[0], kind) and not _same_memory(args[0], args[1]):
        raise RuntimeError(_edit_error(args[0]))
    return True


def _edit_error(weight: torch.Tensor) -> str:
    return f"this edit would not reach the model: {weight.advice}."  # type: ignore[attr-defined]


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor)


def _version(tensor: torch.Tensor) -> int:
    # Inference tensors have no version counter, but the model's properties never return them.
    return -1 if tensor.is_inference() else tensor._version


def _parts(values: Any) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _parts(value)
        else:
            yield value


def _same_memory(one: torch.Tensor, other: Any) -> bool:
    if not isinstance(other, torch.Tensor):
        return False
    try:
        return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a tensor without memory, as under torch.func
        return False


def _wrapped(result: Any, copies: list[WeightCopy]) -> Any:
    """Guard views of the copies; make everything else a plain tensor."""
    if isinstance(result, torch.Tensor):
        owner = next((part for part in copies if _same_memory(part, result)), None)
        if owner is not None:
            return weight_copy(result, owner.advice)
    elif isinstance(result, (list, tuple)):
        made = [_wrapped(part, copies) for part in result]
        return _rebuilt(result, made)
    return _unwrapped(result, WeightCopy)


def _unwrapped(result: Any, kind: type[torch.Tensor]) -> Any:
    if isinstance(result, kind):
        return result.as_subclass(torch.Tensor)
    if isinstance(result, (list, tuple)):
        return _rebuilt(result, [_unwrapped(part, kind) for part in result])
    return result


def _rebuilt(like: list[Any] | tuple[Any, ...], parts: list[Any]) -> Any:
    if isinstance(like, list):
        return parts
    if type(like) is tuple or isinstance(like, torch.Size):
        return type(like)(parts)
    return like if not any(isinstance(part, torch.Tensor) for part in parts) else type(like)(parts)  # named
