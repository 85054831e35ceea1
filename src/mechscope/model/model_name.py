"""The name of a model in titles and provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


def model_name(model: HookedTransformer) -> str:
    """The model's own name, or its shape if it has no name."""
    name = getattr(model.cfg, "model_name", None)
    if name and name != "custom":
        return str(name)
    kind = "attention-only " if model.cfg.attn_only else ""
    return f"{model.cfg.n_layers}-layer {kind}model"
