"""Patch several activations, and stack the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.arguments import checked_arguments
from mechscope.patching.by_activation import (
    get_act_patch_attn_head_k_all_pos,
    get_act_patch_attn_head_k_by_pos,
    get_act_patch_attn_head_out_all_pos,
    get_act_patch_attn_head_out_by_pos,
    get_act_patch_attn_head_pattern_all_pos,
    get_act_patch_attn_head_pattern_by_pos,
    get_act_patch_attn_head_q_all_pos,
    get_act_patch_attn_head_q_by_pos,
    get_act_patch_attn_head_v_all_pos,
    get_act_patch_attn_head_v_by_pos,
    get_act_patch_attn_out,
    get_act_patch_mlp_out,
    get_act_patch_resid_pre,
)
from mechscope.patching.sweep import Metric

if TYPE_CHECKING:
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def get_act_patch_attn_head_all_pos_every(
    model: HookedTransformer,
    corrupted_tokens: torch.Tensor | str | list[str],
    clean_cache: ActivationCache | Mapping[str, torch.Tensor],
    metric: Metric,
    *,
    progress: bool = True,
) -> Float[torch.Tensor, "patch_type layer head"]:
    """Patch each head's output, queries, keys, values and pattern at all positions [patch_type layer head].

    With grouped-query attention, each query head has the effect of the keys and values that it shares. See
    `mechscope.patching` for the arguments.
    """
    kinds = (
        get_act_patch_attn_head_out_all_pos,
        get_act_patch_attn_head_q_all_pos,
        get_act_patch_attn_head_k_all_pos,
        get_act_patch_attn_head_v_all_pos,
        get_act_patch_attn_head_pattern_all_pos,
    )
    effects = [kind(model, corrupted_tokens, clean_cache, metric, progress=progress) for kind in kinds]
    return torch.stack([_for_each_query_head(model, effect) for effect in effects])


@checked_arguments
def get_act_patch_attn_head_by_pos_every(
    model: HookedTransformer,
    corrupted_tokens: torch.Tensor | str | list[str],
    clean_cache: ActivationCache | Mapping[str, torch.Tensor],
    metric: Metric,
    *,
    progress: bool = True,
) -> Float[torch.Tensor, "patch_type layer pos head"]:
    """Patch each head's output, query, key, value and row of the pattern by position [patch_type layer pos head].

    With grouped-query attention, each query head has the effect of the keys and values that it shares. See
    `mechscope.patching` for the arguments.
    """
    kinds = (
        get_act_patch_attn_head_out_by_pos,
        get_act_patch_attn_head_q_by_pos,
        get_act_patch_attn_head_k_by_pos,
        get_act_patch_attn_head_v_by_pos,
    )
    effects = [kind(model, corrupted_tokens, clean_cache, metric, progress=progress) for kind in kinds]
    rows = get_act_patch_attn_head_pattern_by_pos(
        model, corrupted_tokens, clean_cache, metric, progress=progress
    )
    effects.append(rows.mT)  # [layer head pos] -> [layer pos head], like the others
    return torch.stack([_for_each_query_head(model, effect) for effect in effects])


@checked_arguments
def get_act_patch_block_every(
    model: HookedTransformer,
    corrupted_tokens: torch.Tensor | str | list[str],
    clean_cache: ActivationCache | Mapping[str, torch.Tensor],
    metric: Metric,
    *,
    progress: bool = True,
) -> Float[torch.Tensor, "patch_type layer pos"]:
    """Patch the residual stream, attention output and MLP output by position [patch_type layer pos].

    See `mechscope.patching` for the arguments.
    """
    kinds = (get_act_patch_resid_pre, get_act_patch_attn_out, get_act_patch_mlp_out)
    return torch.stack(
        [kind(model, corrupted_tokens, clean_cache, metric, progress=progress) for kind in kinds]
    )


def _for_each_query_head(model: HookedTransformer, effect: torch.Tensor) -> torch.Tensor:
    return effect.repeat_interleave(model.cfg.n_heads // effect.shape[-1], dim=-1)
