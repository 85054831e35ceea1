"""An unembedding of its own for a model that shares it with the embedding."""

from __future__ import annotations

import dataclasses

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.editor import WeightEditor


def untie(cfg: HookedTransformerConfig, weights: WeightEditor) -> HookedTransformerConfig:
    """Give the weights a W_U that can be edited; for the moment it is W_E transposed, not a copy."""
    if not cfg.tie_word_embeddings:
        return cfg
    weights.share("unembed.W_U", "embed.W_E", weights["embed.W_E"].mT)
    return dataclasses.replace(cfg, tie_word_embeddings=False)
