"""Track memory that a pass uses but does not own: weights, the caller's inputs, tensors returned by hooks.

An activation in such memory must be copied before it is cached, or an edit of the cache would change the model.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn


class LentMemory:
    """The storages that one pass borrows; collected on the first call of `lends`.

    Args:
        module: the module that runs.
        inputs: its arguments.
    """

    def __init__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._module = module
        self._inputs = inputs
        self._added: set[int] = set()
        self._storages: set[int] | None = None

    def add(self, tensor: torch.Tensor) -> None:
        """Add a tensor that entered during the pass."""
        self._added.add(_address(tensor))

    def lends(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor uses borrowed memory."""
        if self._storages is None:
            held = [*self._module.parameters(), *self._module.buffers(), *_tensors_in(self._inputs)]
            self._storages = {_address(tensor) for tensor in held}
        address = _address(tensor)
        return address in self._storages or address in self._added


_PASS: ContextVar[LentMemory | None] = ContextVar("pass", default=None)


@contextmanager
def borrowing(module: nn.Module, *inputs: Any) -> Generator[None]:
    """Surround one pass of a module."""
    token = _PASS.set(LentMemory(module, inputs))
    try:
        yield
    finally:
        _PASS.reset(token)


def lend(tensor: torch.Tensor) -> None:
    """Record that the running pass continues with a tensor that may belong to other code."""
    if (running := _PASS.get()) is not None:
        running.add(tensor)


def own_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is safe to keep: the tensor itself if it owns its memory and uses all of it, otherwise a copy.

    Part of a larger tensor is copied, because a view would keep all of it in memory, and so is an expanded tensor,
    which cannot be written to. Outside a pass, nothing is known about the tensor, so it is copied.
    """
    running = _PASS.get()
    size = tensor.numel() * tensor.element_size()
    if running is None or tensor.untyped_storage().nbytes() != size or running.lends(tensor):
        return tensor.clone()
    return tensor


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors_in(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors_in(part)
    elif hasattr(value, "__dataclass_fields__"):  # a key/value cache
        yield from _tensors_in(list(vars(value).values()))
