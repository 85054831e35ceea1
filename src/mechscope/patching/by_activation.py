"""One patching function per activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import checked_arguments
from mechscope.patching.setters import (
    PatchSetter,
    layer_head_dest_src_pos_pattern_patch_setter,
    layer_head_pattern_patch_setter,
    layer_head_pos_pattern_patch_setter,
    layer_head_vector_patch_setter,
    layer_pos_head_vector_patch_setter,
    layer_pos_patch_setter,
)
from mechscope.patching.sweep import AxisNames, Metric, generic_activation_patch

if TYPE_CHECKING:
    import pandas as pd

    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.transformer import HookedTransformer


def _patching_function(
    name: str, activation_name: str, patch_setter: PatchSetter, axes: Sequence[AxisNames], purpose: str
) -> Callable[..., Any]:
    @checked_arguments
    def patch(
        model: HookedTransformer,
        corrupted_tokens: torch.Tensor | str | list[str],
        clean_cache: ActivationCache | Mapping[str, torch.Tensor],
        patching_metric: Metric,
        index_df: pd.DataFrame | None = None,
        return_index_df: bool = False,
        *,
        progress: bool = True,
    ) -> Any:
        return generic_activation_patch(
            model,
            corrupted_tokens,
            clean_cache,
            patching_metric,
            patch_setter,
            activation_name,
            index_axis_names=None if index_df is not None else axes,
            index_df=index_df,
            return_index_df=return_index_df,
            progress=progress,
        )

    patch.__name__ = patch.__qualname__ = name
    patch.__doc__ = f"{purpose} Returns [{' '.join(axes)}]; see `mechscope.patching` for the arguments."
    return patch


get_act_patch_resid_pre = _patching_function(
    "get_act_patch_resid_pre",
    "resid_pre",
    layer_pos_patch_setter,
    ("layer", "pos"),
    "Patch the residual stream at the start of a layer, at one position.",
)
get_act_patch_resid_mid = _patching_function(
    "get_act_patch_resid_mid",
    "resid_mid",
    layer_pos_patch_setter,
    ("layer", "pos"),
    "Patch the residual stream between attention and MLP, at one position.",
)
get_act_patch_attn_out = _patching_function(
    "get_act_patch_attn_out",
    "attn_out",
    layer_pos_patch_setter,
    ("layer", "pos"),
    "Patch the output of a layer's attention, at one position.",
)
get_act_patch_mlp_out = _patching_function(
    "get_act_patch_mlp_out",
    "mlp_out",
    layer_pos_patch_setter,
    ("layer", "pos"),
    "Patch the output of a layer's MLP, at one position.",
)
get_act_patch_attn_head_out_by_pos = _patching_function(
    "get_act_patch_attn_head_out_by_pos",
    "z",
    layer_pos_head_vector_patch_setter,
    ("layer", "pos", "head"),
    "Patch one head's output at one position.",
)
get_act_patch_attn_head_out_all_pos = _patching_function(
    "get_act_patch_attn_head_out_all_pos",
    "z",
    layer_head_vector_patch_setter,
    ("layer", "head"),
    "Patch one head's output at all positions.",
)
get_act_patch_attn_head_q_by_pos = _patching_function(
    "get_act_patch_attn_head_q_by_pos",
    "q",
    layer_pos_head_vector_patch_setter,
    ("layer", "pos", "head"),
    "Patch one head's query at one position.",
)
get_act_patch_attn_head_q_all_pos = _patching_function(
    "get_act_patch_attn_head_q_all_pos",
    "q",
    layer_head_vector_patch_setter,
    ("layer", "head"),
    "Patch one head's queries at all positions.",
)
get_act_patch_attn_head_k_by_pos = _patching_function(
    "get_act_patch_attn_head_k_by_pos",
    "k",
    layer_pos_head_vector_patch_setter,
    ("layer", "pos", "head"),
    "Patch one head's key at one position.",
)
get_act_patch_attn_head_k_all_pos = _patching_function(
    "get_act_patch_attn_head_k_all_pos",
    "k",
    layer_head_vector_patch_setter,
    ("layer", "head"),
    "Patch one head's keys at all positions.",
)
get_act_patch_attn_head_v_by_pos = _patching_function(
    "get_act_patch_attn_head_v_by_pos",
    "v",
    layer_pos_head_vector_patch_setter,
    ("layer", "pos", "head"),
    "Patch one head's value at one position.",
)
get_act_patch_attn_head_v_all_pos = _patching_function(
    "get_act_patch_attn_head_v_all_pos",
    "v",
    layer_head_vector_patch_setter,
    ("layer", "head"),
    "Patch one head's values at all positions.",
)
get_act_patch_attn_head_pattern_all_pos = _patching_function(
    "get_act_patch_attn_head_pattern_all_pos",
    "pattern",
    layer_head_pattern_patch_setter,
    ("layer", "head_index"),
    "Patch one head's whole attention pattern.",
)
get_act_patch_attn_head_pattern_by_pos = _patching_function(
    "get_act_patch_attn_head_pattern_by_pos",
    "pattern",
    layer_head_pos_pattern_patch_setter,
    ("layer", "head_index", "dest_pos"),
    "Patch one head's attention pattern for one query position.",
)
get_act_patch_attn_head_pattern_dest_src_pos = _patching_function(
    "get_act_patch_attn_head_pattern_dest_src_pos",
    "pattern",
    layer_head_dest_src_pos_pattern_patch_setter,
    ("layer", "head_index", "dest_pos", "src_pos"),
    "Patch one entry of one head's attention pattern.",
)
