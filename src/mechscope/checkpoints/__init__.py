"""Load models by name or path, and save them. Names are imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechscope.checkpoints.load import load_model
    from mechscope.checkpoints.registry import bundled_names, entries, lookup, model_names, nearest_names
    from mechscope.checkpoints.save import save_model

_HOMES = {
    "load_model": "load",
    "save_model": "save",
    "bundled_names": "registry",
    "entries": "registry",
    "lookup": "registry",
    "model_names": "registry",
    "nearest_names": "registry",
}

__all__ = [
    "bundled_names",
    "entries",
    "load_model",
    "lookup",
    "model_names",
    "nearest_names",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
