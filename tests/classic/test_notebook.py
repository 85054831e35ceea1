"""The notebook-like script runs, and uses every name that the classic interface promises."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "notebook_script.py"

# The promise, in its own groups.
NAMES = {
    "top level": """
        HookedTransformer HookedTransformerConfig ActivationCache FactoredMatrix HookPoint HookedRootModule
        HookedTransformerKeyValueCache utils patching head_detector components evals SVDInterpreter
        hook_points past_key_value_caching""",
    "config": """
        n_layers d_model d_head n_heads d_mlp n_ctx d_vocab d_vocab_out act_fn relu gelu gelu_new silu solu_ln
        attn_only normalization_type LN LNPre RMS RMSPre positional_embedding_type standard rotary shortformer
        alibi n_key_value_heads gated_mlp final_rms parallel_attn_mlp attention_dir seed init_mode init_weights
        dtype device tokenizer_name model_name default_prepend_bos use_attn_result use_split_qkv_input
        use_attn_in use_hook_mlp_in use_hook_tokens unwrap n_params""",
    "loading": """
        from_pretrained fold_ln center_writing_weights center_unembed refactor_factored_attn_matrices
        fold_value_biases hf_model tokenizer default_padding_side first_n_layers checkpoint_index
        checkpoint_value from_pretrained_no_processing load_and_process_state_dict process_weights_""",
    "running": """
        return_type logits loss both loss_per_token prepend_bos padding_side start_at_layer tokens
        shortformer_pos_embed attention_mask stop_at_layer past_kv_cache input_to_embed run_with_hooks
        fwd_hooks bwd_hooks reset_hooks_end clear_contexts hooks add_hook dir is_permanent level prepend
        add_perma_hook reset_hooks remove_all_hook_fns hook_dict mod_dict run_with_cache names_filter
        remove_batch_dim incl_bwd pos_slice return_cache_object set_use_attn_result set_use_split_qkv_input
        set_use_attn_in set_use_hook_mlp_in""",
    "weights": """
        W_E W_U W_pos W_Q W_K W_V W_O W_in W_out W_gate b_Q b_K b_V b_O b_in b_out b_U W_E_pos QK OV
        all_composition_scores all_head_labels accumulated_bias tokens_to_residual_directions blocks attn mlp
        ln1 ln2""",
    "text": """
        to_tokens to_string to_str_tokens to_single_token to_single_str_token get_token_position generate
        max_new_tokens stop_at_eos eos_token_id do_sample top_k top_p temperature freq_penalty
        use_past_kv_cache verbose""",
    "cache": """
        cache_dict has_batch_dim keys values items accumulated_resid decompose_resid stack_head_results
        stack_activation stack_neuron_results get_neuron_results get_full_resid_decomposition expand_neurons
        project_output_onto compute_head_results logit_attrs apply_ln_to_stack apply_slice_to_batch_dim
        toggle_autodiff to blocks.0.attn.hook_pattern pattern scale""",
    "factored matrix": """
        A B AB BA T svd U S V Vh eigenvalues norm unsqueeze make_even get_corner collapse_l collapse_r pair
        ndim shape""",
    "patching": """
        generic_activation_patch get_act_patch_resid_pre get_act_patch_resid_mid get_act_patch_attn_out
        get_act_patch_mlp_out get_act_patch_attn_head_out_by_pos get_act_patch_attn_head_q_by_pos
        get_act_patch_attn_head_k_by_pos get_act_patch_attn_head_v_by_pos
        get_act_patch_attn_head_pattern_by_pos get_act_patch_attn_head_out_all_pos
        get_act_patch_attn_head_q_all_pos get_act_patch_attn_head_k_all_pos get_act_patch_attn_head_v_all_pos
        get_act_patch_attn_head_pattern_all_pos get_act_patch_attn_head_pattern_dest_src_pos
        get_act_patch_attn_head_all_pos_every get_act_patch_attn_head_by_pos_every get_act_patch_block_every
        get_act_patch_direct_path""",
    "helpers": """
        test_prompt get_act_name Slice to_numpy lm_cross_entropy_loss lm_accuracy get_attention_mask
        composition_scores detect_head get_previous_token_head_detection_pattern
        get_duplicate_token_head_detection_pattern get_induction_head_detection_pattern induction_loss
        IOIDataset ioi_eval""",
}
HOOK_POINTS = """
    hook_tokens hook_embed hook_pos_embed blocks.i.hook_resid_pre blocks.i.hook_attn_in blocks.i.hook_q_input
    blocks.i.hook_k_input blocks.i.hook_v_input blocks.i.ln1.hook_scale blocks.i.ln1.hook_normalized
    blocks.i.attn.hook_q blocks.i.attn.hook_k blocks.i.attn.hook_v blocks.i.attn.hook_rot_q
    blocks.i.attn.hook_rot_k blocks.i.attn.hook_attn_scores blocks.i.attn.hook_pattern blocks.i.attn.hook_z
    blocks.i.attn.hook_result blocks.i.hook_attn_out blocks.i.hook_resid_mid blocks.i.hook_mlp_in
    blocks.i.ln2.hook_scale blocks.i.ln2.hook_normalized blocks.i.mlp.hook_pre blocks.i.mlp.hook_pre_linear
    blocks.i.mlp.hook_mid blocks.i.mlp.hook_post blocks.i.hook_mlp_out blocks.i.hook_resid_post
    ln_final.hook_scale ln_final.hook_normalized"""


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """What the script leaves behind after it ran to its end."""
    return runpy.run_path(str(SCRIPT))


def test_the_script_runs_to_its_end(namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert namespace["scores"].shape == (2, 4)


def test_every_hook_point_fired(namespace: dict[str, Any]) -> None:
    assert sorted(set(HOOK_POINTS.split()) - namespace["hooks_seen"]) == []


def names_used(tree: ast.AST) -> set[str]:
    """Whatever the script calls, reads, passes by keyword, imports or names in a string."""
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                used.add(name)
            case ast.Constant(value=str(text)):
                used.add(text)
            case ast.ImportFrom(module=str(module)):
                used |= {*module.split("."), *(alias.name for alias in node.names)}
    return used


@pytest.mark.parametrize("group", list(NAMES))
def test_the_script_uses_every_name(group: str) -> None:
    used = names_used(ast.parse(SCRIPT.read_text(encoding="utf-8")))
    assert sorted(set(NAMES[group].split()) - used) == []
