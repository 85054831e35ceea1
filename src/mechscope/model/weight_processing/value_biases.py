"""Move value biases into the output bias.

Attention patterns sum to 1, so a head's value bias reaches its output undiluted: b_V W_O is a
constant and can be part of b_O. Source: Elhage et al. 2021.
"""

from __future__ import annotations

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.editor import WeightEditor


def fold_value_biases(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """b_O + Σ_heads b_V W_O becomes b_O, and b_V becomes 0."""
    name = "b_V" if cfg.n_key_value_heads is None else "_b_V"
    folded = False
    for layer in range(cfg.n_layers):
        b_V, W_O, b_O = (f"blocks.{layer}.attn.{part}" for part in (name, "W_O", "b_O"))
        if bool(weights[b_V].any()):
            weights.edit(b_O, _add_constant_output, b_V, W_O, axes=(-1, None, -1))
            weights.put(b_V, torch.zeros_like(weights[b_V]))
            folded = True
    return cfg, ["b_V is now 0."] if folded else ["every b_V is 0 already."]


def _add_constant_output(b_O: torch.Tensor, b_V: torch.Tensor, W_O: torch.Tensor) -> None:
    """b_V [kv_head d_head], W_O [head d_head d_model]; each key/value head serves a group of heads."""
    group_size = W_O.shape[0] // b_V.shape[0]
    by_head = b_V.repeat_interleave(group_size, dim=0)
    b_O.add_(by_head.flatten() @ W_O.flatten(0, 1))
