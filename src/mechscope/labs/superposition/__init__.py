"""Step 01: networks that represent more features than they have dimensions. Names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.labs.superposition.config import SuperpositionConfig
    from mechscope.labs.superposition.experiment import LAB

__all__ = ["LAB", "SuperpositionConfig"]

_HOMES = {
    "LAB": "mechscope.labs.superposition.experiment",
    "SuperpositionConfig": "mechscope.labs.superposition.config",
}
_MOVED = dict.fromkeys(("ToyCollection", "load_toy_models", "save_toy_models"), "mechscope.checkpoints")

__getattr__, __dir__ = lazy_names(__name__, _HOMES, moved=_MOVED)
