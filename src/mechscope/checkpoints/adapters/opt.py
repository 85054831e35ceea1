"""OPT (Zhang et al. 2022): ReLU, and a position table with two unused rows at its start."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, Refusal, always
from mechscope.checkpoints.adapters.gpt_neo import HEADS_IN
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation
from mechscope.checkpoints.mapping import Table, Take


def width(config: HfConfig) -> int:
    """The residual stream's width.

    Raises:
        ValueError: if the embedding has a different width (OPT-350m).
    """
    embedding = config.get("word_embed_proj_dim", config["hidden_size"])
    if embedding != config["hidden_size"]:
        raise ValueError(
            f"this OPT checkpoint (OPT-350m) embeds tokens in word_embed_proj_dim={embedding} dimensions and "
            f"projects them to hidden_size={config['hidden_size']}, which mechscope does not support."
        )
    return embedding


CONFIG: ConfigTable = {
    "d_model": width,
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "d_head": lambda config: config["hidden_size"] // config["num_attention_heads"],
    "d_mlp": "ffn_dim",
    "n_ctx": "max_position_embeddings",
    "d_vocab": "vocab_size",
    "act_fn": activation("activation_function"),
    # A norm without a learned scale and shift is the same as a folded one.
    "normalization_type": lambda config: (
        "LN" if config.get("layer_norm_elementwise_affine", True) else "LNPre"
    ),
    "positional_embedding_type": always("standard"),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", True),
}

EMBEDDINGS: Table = {
    "embed.W_E": Take("embed_tokens.weight", "d_vocab d_model"),
    "pos_embed.W_pos": Take("embed_positions.weight", "pos_and_two d_model", part=slice(2, None)),
}
MATRICES: Table = {
    "blocks.{i}.attn.W_Q": Take("layers.{i}.self_attn.q_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_K": Take("layers.{i}.self_attn.k_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_V": Take("layers.{i}.self_attn.v_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_O": Take(
        "layers.{i}.self_attn.out_proj.weight", "d_model (head d_head) -> head d_head d_model"
    ),
    "blocks.{i}.mlp.W_in": Take("layers.{i}.fc1.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.W_out": Take("layers.{i}.fc2.weight", "d_model d_mlp -> d_mlp d_model"),
}
BIASES: Table = {
    "blocks.{i}.attn.b_Q": Take("layers.{i}.self_attn.q_proj.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_K": Take("layers.{i}.self_attn.k_proj.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_V": Take("layers.{i}.self_attn.v_proj.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_O": Take("layers.{i}.self_attn.out_proj.bias", "d_model"),
    "blocks.{i}.mlp.b_in": Take("layers.{i}.fc1.bias", "d_mlp"),
    "blocks.{i}.mlp.b_out": Take("layers.{i}.fc2.bias", "d_model"),
}
NORMS: Table = {
    "blocks.{i}.ln1.w": Take("layers.{i}.self_attn_layer_norm.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("layers.{i}.self_attn_layer_norm.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("layers.{i}.final_layer_norm.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("layers.{i}.final_layer_norm.bias", "d_model"),
    "ln_final.w": Take("final_layer_norm.weight", "d_model"),
    "ln_final.b": Take("final_layer_norm.bias", "d_model"),
}
HEAD: Table = {"unembed.W_U": Take("lm_head.weight", "d_vocab d_model -> d_model d_vocab")}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {
        **EMBEDDINGS,
        **MATRICES,
        **(BIASES if config.get("enable_bias", True) else {}),
        **(NORMS if config.get("layer_norm_elementwise_affine", True) else {}),
        **({} if config.get("tie_word_embeddings", True) else HEAD),
    }


OPT = Family(
    name="OPT",
    model_types=("opt",),
    architectures=("OPTForCausalLM",),
    special="ReLU, position table with two unused rows (not OPT-350m, whose norms come last)",
    config=CONFIG,
    tensors=tensors,
    prefixes=("model.decoder.", "decoder."),
    ignored=(r"^lm_head\.weight$",),
    refused=(
        Refusal("do_layer_norm_before", (True,), "the norms come after the residual sum (OPT-350m)"),
        Refusal("_remove_final_layer_norm", (False,), "there is no final norm"),
    ),
)
