"""The loaders behind `from_pretrained`, which `mechscope.checkpoints` registers here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["decoder", "encoder"]

_loaders: dict[Kind, Callable[..., Any]] = {}


def register_loader(kind: Kind, loader: Callable[..., Any]) -> None:
    """Make `loader` the function that loads decoders, or encoders, by name."""
    _loaders[kind] = loader


def pretrained_loader(kind: Kind) -> Callable[..., Any]:
    """The registered loader; imports `mechscope.checkpoints` if it has not been imported."""
    if kind not in _loaders:
        # By name: checkpoints imports the model, not the other way round.
        importlib.import_module("mechscope.checkpoints.classic")
    return _loaders[kind]
