"""Step 01: networks that hold more features than they have dimensions. Names are imported when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.labs.superposition.collection import ToyCollection, load_toy_models, save_toy_models
    from mechscope.labs.superposition.config import SuperpositionConfig
    from mechscope.labs.superposition.experiment import LAB

__all__ = ["LAB", "SuperpositionConfig", "ToyCollection", "load_toy_models", "save_toy_models"]

_HOMES = {
    "LAB": "mechscope.labs.superposition.experiment",
    "SuperpositionConfig": "mechscope.labs.superposition.config",
    "ToyCollection": "mechscope.labs.superposition.collection",
    "load_toy_models": "mechscope.labs.superposition.collection",
    "save_toy_models": "mechscope.labs.superposition.collection",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
