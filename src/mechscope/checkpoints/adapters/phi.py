"""Phi 1, 1.5 and 2 (Microsoft 2023), and Phi 3 and 4, which are Llamas with fused matrices."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters import llama, mistral
from mechscope.checkpoints.adapters.family import ConfigTable, Family, Refusal, always
from mechscope.checkpoints.adapters.hf_config import (
    HfConfig,
    Rope,
    activation,
    context_length,
    head_width,
    rope,
    rotary_dim,
)
from mechscope.checkpoints.mapping import Axes, Table, Take


def positions(config: HfConfig) -> Rope:
    return rope(config, fraction=0.5)


PHI_CONFIG: ConfigTable = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_key_value_heads": lambda config: config.get("num_key_value_heads", config["num_attention_heads"]),
    "d_head": head_width,
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
    "parallel_attn_mlp": always(True),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", False),
}

PHI_TENSORS: Table = {
    **llama.EMBEDDING,
    # One norm feeds both sublayers.
    "blocks.{i}.ln1.w": Take("layers.{i}.input_layernorm.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("layers.{i}.input_layernorm.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("layers.{i}.input_layernorm.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("layers.{i}.input_layernorm.bias", "d_model"),
    **llama.ATTENTION,
    **llama.QKV_BIASES,
    "blocks.{i}.attn.W_O": Take("layers.{i}.self_attn.dense.weight", llama.HEADS_OUT),
    "blocks.{i}.attn.b_O": Take("layers.{i}.self_attn.dense.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take("layers.{i}.mlp.fc1.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("layers.{i}.mlp.fc1.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("layers.{i}.mlp.fc2.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("layers.{i}.mlp.fc2.bias", "d_model"),
    "ln_final.w": Take("final_layernorm.weight", "d_model"),
    "ln_final.b": Take("final_layernorm.bias", "d_model"),
    "unembed.b_U": Take("lm_head.bias", "d_vocab"),
}


def phi_tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**PHI_TENSORS, **llama.head(config)}


PHI = Family(
    name="Phi 1, 1.5 and 2",
    model_types=("phi",),
    architectures=("PhiForCausalLM",),
    special="parallel sublayers behind one norm, partial rotary, biases everywhere",
    config=PHI_CONFIG,
    tensors=phi_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
    refused=(Refusal("qk_layernorm", (False,), "queries and keys pass through an extra LayerNorm"),),
    prepends_bos=False,
)


def query_rows(axes: Axes) -> slice:
    return slice(0, axes["head"])


def key_rows(axes: Axes) -> slice:
    return slice(axes["head"], axes["head"] + axes["kv_head"])


def value_rows(axes: Axes) -> slice:
    return slice(axes["head"] + axes["kv_head"], axes["qkv_head"])


QKV = "(qkv_head d_head) d_model -> qkv_head d_model d_head"
GATE_AND_IN = "(gate_and_in d_mlp) d_model -> gate_and_in d_model d_mlp"
FUSED: Table = {
    "blocks.{i}.attn.W_Q": Take("layers.{i}.self_attn.qkv_proj.weight", QKV, part=query_rows),
    "blocks.{i}.attn.W_K": Take("layers.{i}.self_attn.qkv_proj.weight", QKV, part=key_rows),
    "blocks.{i}.attn.W_V": Take("layers.{i}.self_attn.qkv_proj.weight", QKV, part=value_rows),
    "blocks.{i}.attn.W_O": Take("layers.{i}.self_attn.o_proj.weight", llama.HEADS_OUT),
    "blocks.{i}.mlp.W_gate": Take("layers.{i}.mlp.gate_up_proj.weight", GATE_AND_IN, part=0),
    "blocks.{i}.mlp.W_in": Take("layers.{i}.mlp.gate_up_proj.weight", GATE_AND_IN, part=1),
    "blocks.{i}.mlp.W_out": Take("layers.{i}.mlp.down_proj.weight", "d_model d_mlp -> d_mlp d_model"),
}


def phi3_tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**llama.EMBEDDING, **llama.NORMS, **FUSED, **llama.head(config)}


PHI3 = Family(
    name="Phi 3",
    model_types=("phi3",),
    architectures=("Phi3ForCausalLM",),
    special="Llama with fused matrices and a window (Phi 4 too; not the long-context variants)",
    config=mistral.CONFIG,
    tensors=phi3_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
)
