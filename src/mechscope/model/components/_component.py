"""The base class of components: a torch module with fast access to its children."""

from __future__ import annotations

from typing import Any

from torch import nn


class Component(nn.Module):
    """A torch module that also keeps its children in its `__dict__`.

    torch looks up children in `__getattr__`, the slow path of attribute access. A forward pass accesses about forty
    children per layer, which took a tenth of the time of a pass over one token.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nn.Module):
            self.__dict__[name] = value

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add or replace a child, as torch does."""
        super().add_module(name, module)
        self.__dict__.pop(name, None)
        if module is not None:
            self.__dict__[name] = module

    def __delattr__(self, name: str) -> None:
        if name in self._modules:
            self.__dict__.pop(name, None)
        super().__delattr__(name)
