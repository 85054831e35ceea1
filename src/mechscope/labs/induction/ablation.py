"""Ablate heads: replace their outputs by means, with all attention patterns frozen or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.labs.head_names import Head
from mechscope.model.transformer import HookedTransformer


def record(model: HookedTransformer, tokens: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
    """The outputs and attention patterns of all heads, without any ablation."""
    with torch.no_grad():
        _, cache = model.run_with_cache(
            tokens,
            return_type=None,
            names_filter=lambda name: name.endswith(("attn.hook_z", "attn.hook_pattern")),
        )
    return {name: cache[name] for name in cache.keys()}  # noqa: SIM118


def mean_ablation_hooks(
    cache: Mapping[str, Tensor], heads: Sequence[Head], keep_patterns: bool
) -> list[tuple[str, Any]]:
    """Hooks that replace the heads' outputs by their means over the batch, position by position.

    Args:
        cache: what `record` returned for the same tokens.
        keep_patterns: also freeze every attention pattern as it was without the ablation, so that only what the
            heads themselves write is lost. Source: Olsson et al. (2022), "pattern-preserving ablation".
    """
    hooks: list[tuple[str, Any]] = []
    if keep_patterns:
        patterns = {name: kept for name, kept in cache.items() if name.endswith("hook_pattern")}
        hooks += [(name, partial(_replace, kept=kept)) for name, kept in patterns.items()]
    for name, chosen in _by_hook(heads).items():
        hooks.append((name, partial(_replace_heads, means=cache[name].mean(0), heads=chosen)))
    return hooks


def zero_ablation_hooks(heads: Sequence[Head]) -> list[tuple[str, Any]]:
    """Hooks that replace the heads' outputs by zeros."""
    return [(name, partial(_zero_heads, heads=chosen)) for name, chosen in _by_hook(heads).items()]


def _by_hook(heads: Sequence[Head]) -> dict[str, list[int]]:
    """Name of each layer's hook point → the heads chosen there."""
    return {
        f"blocks.{layer}.attn.hook_z": [head for other, head in heads if other == layer]
        for layer in sorted({layer for layer, _ in heads})
    }


def _replace(activation: Tensor, hook: Any, kept: Tensor) -> Tensor:
    return kept


def _replace_heads(z: Tensor, hook: Any, means: Tensor, heads: list[int]) -> Tensor:
    z = z.clone()
    z[:, :, heads] = means[:, heads]
    return z


def _zero_heads(z: Tensor, hook: Any, heads: list[int]) -> Tensor:
    z = z.clone()
    z[:, :, heads] = 0
    return z
