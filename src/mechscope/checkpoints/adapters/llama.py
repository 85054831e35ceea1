"""Llama 1 to 3 (Touvron et al. 2023, Dubey et al. 2024), and the tables that related families share."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, Refusal, always
from mechscope.checkpoints.adapters.hf_config import (
    HfConfig,
    activation,
    context_length,
    head_width,
    rope,
    rotary_dim,
)
from mechscope.checkpoints.mapping import Table, Take

CONFIG: ConfigTable = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_key_value_heads": lambda config: config.get("num_key_value_heads", config["num_attention_heads"]),
    "d_head": head_width,
    "d_mlp": "intermediate_size",
    "n_ctx": context_length,
    "d_vocab": "vocab_size",
    "act_fn": activation("hidden_act"),
    "gated_mlp": always(True),
    "eps": "rms_norm_eps",
    "normalization_type": always("RMS"),
    "final_rms": always(True),
    "positional_embedding_type": always("rotary"),
    "rotary_dim": lambda config: rotary_dim(config, rope(config)),
    "rotary_base": lambda config: rope(config).base,
    "rotary_scaling": lambda config: rope(config).scaling,
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", False),
}

HEADS_IN = "(head d_head) d_model -> head d_model d_head"
KV_HEADS_IN = "(kv_head d_head) d_model -> kv_head d_model d_head"
HEADS_OUT = "d_model (head d_head) -> head d_head d_model"

EMBEDDING: Table = {"embed.W_E": Take("embed_tokens.weight", "d_vocab d_model")}
NORMS: Table = {
    "blocks.{i}.ln1.w": Take("layers.{i}.input_layernorm.weight", "d_model"),
    "blocks.{i}.ln2.w": Take("layers.{i}.post_attention_layernorm.weight", "d_model"),
    "ln_final.w": Take("norm.weight", "d_model"),
}
ATTENTION: Table = {
    "blocks.{i}.attn.W_Q": Take("layers.{i}.self_attn.q_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_K": Take("layers.{i}.self_attn.k_proj.weight", KV_HEADS_IN),
    "blocks.{i}.attn.W_V": Take("layers.{i}.self_attn.v_proj.weight", KV_HEADS_IN),
    "blocks.{i}.attn.W_O": Take("layers.{i}.self_attn.o_proj.weight", HEADS_OUT),
}
QKV_BIASES: Table = {
    "blocks.{i}.attn.b_Q": Take("layers.{i}.self_attn.q_proj.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_K": Take("layers.{i}.self_attn.k_proj.bias", "(kv_head d_head) -> kv_head d_head"),
    "blocks.{i}.attn.b_V": Take("layers.{i}.self_attn.v_proj.bias", "(kv_head d_head) -> kv_head d_head"),
}
OUTPUT_BIAS: Table = {"blocks.{i}.attn.b_O": Take("layers.{i}.self_attn.o_proj.bias", "d_model")}
HEAD_NORMS: Table = {
    "blocks.{i}.attn.q_norm.w": Take("layers.{i}.self_attn.q_norm.weight", "d_head"),
    "blocks.{i}.attn.k_norm.w": Take("layers.{i}.self_attn.k_norm.weight", "d_head"),
}
MLP: Table = {
    "blocks.{i}.mlp.W_gate": Take("layers.{i}.mlp.gate_proj.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.W_in": Take("layers.{i}.mlp.up_proj.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.W_out": Take("layers.{i}.mlp.down_proj.weight", "d_model d_mlp -> d_mlp d_model"),
}
HEAD: Table = {"unembed.W_U": Take("lm_head.weight", "d_vocab d_model -> d_model d_vocab")}
PREFIXES = ("model.",)
IGNORED = (r"\.rotary_emb\.inv_freq$", r"^lm_head\.weight$")


def attention_biases(config: HfConfig) -> Table:
    """The four attention biases, if `attention_bias` says that the checkpoint has them."""
    return {**QKV_BIASES, **OUTPUT_BIAS} if config.get("attention_bias", False) else {}


def head(config: HfConfig) -> Table:
    """The unembedding, if it is not tied to the embedding."""
    return {} if config.get("tie_word_embeddings", False) else HEAD


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**EMBEDDING, **NORMS, **ATTENTION, **attention_biases(config), **MLP, **head(config)}


LLAMA = Family(
    name="Llama 1 to 3",
    model_types=("llama",),
    architectures=("LlamaForCausalLM",),
    special="RMS norms, rotary (with Llama 3's scaling), grouped queries, gated MLP",
    config=CONFIG,
    tensors=tensors,
    prefixes=PREFIXES,
    ignored=IGNORED,
    refused=(
        Refusal("mlp_bias", (False,), "the gated MLP has biases on both of its input branches"),
        Refusal("pretraining_tp", (1,), "the matrices are multiplied in slices"),
    ),
)
