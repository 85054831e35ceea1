"""The classic patching functions: put one activation of a clean run into a corrupted run, and measure the effect.

Each function patches one activation after another and returns the metric of each patched run, in a tensor with one axis
per index that is varied. All take the same arguments:

    model             the model
    corrupted_tokens  tokens [batch pos] (or text) of the run that is patched
    clean_cache       the activations of the clean run, of the same length
    patching_metric   a function from logits [batch pos d_vocab] to a number

Optional arguments are `index_df` (a data frame of what to patch, in place of everything), `return_index_df=True` (also
return the data frame) and `progress=False` (no progress bar). Source: Meng et al. 2022 (causal tracing); Wang et al.
2022 (heads).

>>> import torch
>>> from mechscope import HookedTransformer, patching
>>> model = HookedTransformer({"n_layers": 2, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
...                            "attn_only": True, "seed": 0})
>>> clean, corrupted = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 3, 2]])
>>> _, cache = model.run_with_cache(clean)
>>> def metric(logits):
...     return logits[0, -1, 4] - logits[0, -1, 3]
>>> effect = patching.get_act_patch_resid_pre(model, corrupted, cache, metric, progress=False)
>>> effect.shape  # [layer pos]
torch.Size([2, 3])
>>> torch.allclose(effect[0, 1], metric(model(clean)), atol=1e-5)  # the prompts only differ at position 1
True
"""

from mechscope.lazy import attach_modules
from mechscope.patching.by_activation import (
    get_act_patch_attn_head_k_all_pos,
    get_act_patch_attn_head_k_by_pos,
    get_act_patch_attn_head_out_all_pos,
    get_act_patch_attn_head_out_by_pos,
    get_act_patch_attn_head_pattern_all_pos,
    get_act_patch_attn_head_pattern_by_pos,
    get_act_patch_attn_head_pattern_dest_src_pos,
    get_act_patch_attn_head_q_all_pos,
    get_act_patch_attn_head_q_by_pos,
    get_act_patch_attn_head_v_all_pos,
    get_act_patch_attn_head_v_by_pos,
    get_act_patch_attn_out,
    get_act_patch_mlp_out,
    get_act_patch_resid_mid,
    get_act_patch_resid_pre,
)
from mechscope.patching.direct_path import get_act_patch_direct_path
from mechscope.patching.setters import (
    PatchSetter,
    layer_head_dest_src_pos_pattern_patch_setter,
    layer_head_pattern_patch_setter,
    layer_head_pos_pattern_patch_setter,
    layer_head_vector_patch_setter,
    layer_pos_head_vector_patch_setter,
    layer_pos_patch_setter,
)
from mechscope.patching.stacked import (
    get_act_patch_attn_head_all_pos_every,
    get_act_patch_attn_head_by_pos_every,
    get_act_patch_block_every,
)
from mechscope.patching.sweep import AxisNames, Metric, generic_activation_patch, make_df_from_ranges

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "AxisNames",
    "Metric",
    "PatchSetter",
    "generic_activation_patch",
    "get_act_patch_attn_head_all_pos_every",
    "get_act_patch_attn_head_by_pos_every",
    "get_act_patch_attn_head_k_all_pos",
    "get_act_patch_attn_head_k_by_pos",
    "get_act_patch_attn_head_out_all_pos",
    "get_act_patch_attn_head_out_by_pos",
    "get_act_patch_attn_head_pattern_all_pos",
    "get_act_patch_attn_head_pattern_by_pos",
    "get_act_patch_attn_head_pattern_dest_src_pos",
    "get_act_patch_attn_head_q_all_pos",
    "get_act_patch_attn_head_q_by_pos",
    "get_act_patch_attn_head_v_all_pos",
    "get_act_patch_attn_head_v_by_pos",
    "get_act_patch_attn_out",
    "get_act_patch_block_every",
    "get_act_patch_direct_path",
    "get_act_patch_mlp_out",
    "get_act_patch_resid_mid",
    "get_act_patch_resid_pre",
    "layer_head_dest_src_pos_pattern_patch_setter",
    "layer_head_pattern_patch_setter",
    "layer_head_pos_pattern_patch_setter",
    "layer_head_vector_patch_setter",
    "layer_pos_head_vector_patch_setter",
    "layer_pos_patch_setter",
    "make_df_from_ranges",
]
