"""Run a model only as far as activations are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mechscope.model.encoder import HookedEncoder
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.transformer import HookedTransformer


def how_far(model: HookedRootModule, names: Sequence[str]) -> dict[str, Any]:
    """Options for a pass that skip the blocks after the last of these hook points, and the unembedding."""
    if isinstance(model, HookedEncoder):
        return {"return_type": None}
    if not isinstance(model, HookedTransformer):
        return {}
    how: dict[str, Any] = {"return_type": None}
    layers = [int(name.split(".")[1]) for name in names if name.startswith("blocks.")]
    if len(layers) == len(names) and max(layers) + 1 < model.cfg.n_layers:
        how["stop_at_layer"] = max(layers) + 1
    return how
