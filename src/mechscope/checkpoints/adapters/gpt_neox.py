"""GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023): heads interleaved in one fused matrix."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.hf_config import (
    HfConfig,
    Rope,
    activation,
    context_length,
    rope,
    rotary_dim,
)
from mechscope.checkpoints.mapping import Table, Take


def positions(config: HfConfig) -> Rope:
    return rope(config, fraction=0.25, base_field="rotary_emb_base", fraction_field="rotary_pct")


CONFIG: ConfigTable = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "d_head": lambda config: config["hidden_size"] // config["num_attention_heads"],
    "d_mlp": "intermediate_size",
    "n_ctx": context_length,
    "d_vocab": "vocab_size",
    "act_fn": activation("hidden_act"),
    "eps": "layer_norm_eps",
    "normalization_type": always("LN"),
    "positional_embedding_type": always("rotary"),
    "rotary_dim": lambda config: rotary_dim(config, positions(config)),
    "rotary_base": lambda config: positions(config).base,
    "rotary_scaling": lambda config: positions(config).scaling,
    "parallel_attn_mlp": lambda config: config.get("use_parallel_residual", True),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", False),
}

QKV = "(head qkv d_head) d_model -> qkv head d_model d_head"
QKV_BIAS = "(head qkv d_head) -> qkv head d_head"

TENSORS: Table = {
    "embed.W_E": Take("embed_in.weight", "d_vocab d_model"),
    "blocks.{i}.ln1.w": Take("layers.{i}.input_layernorm.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("layers.{i}.input_layernorm.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take("layers.{i}.attention.query_key_value.weight", QKV, part=0),
    "blocks.{i}.attn.W_K": Take("layers.{i}.attention.query_key_value.weight", QKV, part=1),
    "blocks.{i}.attn.W_V": Take("layers.{i}.attention.query_key_value.weight", QKV, part=2),
    "blocks.{i}.attn.W_O": Take(
        "layers.{i}.attention.dense.weight", "d_model (head d_head) -> head d_head d_model"
    ),
    "blocks.{i}.ln2.w": Take("layers.{i}.post_attention_layernorm.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("layers.{i}.post_attention_layernorm.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take("layers.{i}.mlp.dense_h_to_4h.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("layers.{i}.mlp.dense_h_to_4h.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("layers.{i}.mlp.dense_4h_to_h.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("layers.{i}.mlp.dense_4h_to_h.bias", "d_model"),
    "ln_final.w": Take("final_layer_norm.weight", "d_model"),
    "ln_final.b": Take("final_layer_norm.bias", "d_model"),
}
ATTENTION_BIASES: Table = {
    "blocks.{i}.attn.b_Q": Take("layers.{i}.attention.query_key_value.bias", QKV_BIAS, part=0),
    "blocks.{i}.attn.b_K": Take("layers.{i}.attention.query_key_value.bias", QKV_BIAS, part=1),
    "blocks.{i}.attn.b_V": Take("layers.{i}.attention.query_key_value.bias", QKV_BIAS, part=2),
    "blocks.{i}.attn.b_O": Take("layers.{i}.attention.dense.bias", "d_model"),
}
HEAD: Table = {"unembed.W_U": Take("embed_out.weight", "d_vocab d_model -> d_model d_vocab")}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {
        **TENSORS,
        **(ATTENTION_BIASES if config.get("attention_bias", True) else {}),
        **({} if config.get("tie_word_embeddings", False) else HEAD),
    }


GPT_NEOX = Family(
    name="GPT-NeoX and Pythia",
    model_types=("gpt_neox",),
    architectures=("GPTNeoXForCausalLM",),
    special="partial rotary, parallel sublayers (or sequential), heads interleaved in the fused matrix",
    config=CONFIG,
    tensors=tensors,
    prefixes=("gpt_neox.",),
    ignored=(r"\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$", r"^embed_out\.weight$"),
    prepends_bos=False,
    renames={"lm_head.weight": "embed_out.weight"},
)
