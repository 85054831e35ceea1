"""Load models by name or path, save them, and list the known names. Names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.checkpoints.listing import Listing, list_models
    from mechscope.checkpoints.load import load_model
    from mechscope.checkpoints.registry import bundled_names, entries, lookup, model_names, nearest_names
    from mechscope.checkpoints.save import save_model
    from mechscope.checkpoints.toy_models import ToyCollection, load_toy_models, save_toy_models

_HOMES = {
    "Listing": "mechscope.checkpoints.listing",
    "ToyCollection": "mechscope.checkpoints.toy_models",
    "bundled_names": "mechscope.checkpoints.registry",
    "entries": "mechscope.checkpoints.registry",
    "list_models": "mechscope.checkpoints.listing",
    "load_model": "mechscope.checkpoints.load",
    "load_toy_models": "mechscope.checkpoints.toy_models",
    "lookup": "mechscope.checkpoints.registry",
    "model_names": "mechscope.checkpoints.registry",
    "nearest_names": "mechscope.checkpoints.registry",
    "save_model": "mechscope.checkpoints.save",
    "save_toy_models": "mechscope.checkpoints.toy_models",
}

__all__ = [
    "Listing",
    "ToyCollection",
    "bundled_names",
    "entries",
    "list_models",
    "load_model",
    "load_toy_models",
    "lookup",
    "model_names",
    "nearest_names",
    "save_model",
    "save_toy_models",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
