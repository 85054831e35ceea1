"""GPT-Neo (Black et al. 2021) and the TinyStories models: local layers, unscaled attention scores."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.gpt2 import HEAD
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation
from mechscope.checkpoints.mapping import Table, Take


def attention_kinds(config: HfConfig) -> list[str]:
    """ "global" or "local" for each layer; `attention_types` stores it as patterns with repeat counts."""
    kinds: list[Any] = config.get("attention_layers") or [
        kind for pattern, times in config["attention_types"] for _ in range(times) for kind in pattern
    ]
    if len(kinds) != config["num_layers"]:
        raise ValueError(
            f"attention_types describes {len(kinds)} layers, but num_layers is {config['num_layers']}."
        )
    return kinds


CONFIG: ConfigTable = {
    "d_model": "hidden_size",
    "n_layers": "num_layers",
    "n_heads": "num_heads",
    "d_head": lambda config: config["hidden_size"] // config["num_heads"],
    "d_mlp": lambda config: config.get("intermediate_size", 4 * config["hidden_size"]),
    "n_ctx": "max_position_embeddings",
    "d_vocab": "vocab_size",
    "act_fn": activation("activation_function"),
    "eps": "layer_norm_epsilon",
    "normalization_type": always("LN"),
    "positional_embedding_type": always("standard"),
    "use_attn_scale": always(False),
    "attn_types": attention_kinds,
    "window_size": "window_size",
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", True),
}

HEADS_IN = "(head d_head) d_model -> head d_model d_head"

TENSORS: Table = {
    "embed.W_E": Take("wte.weight", "d_vocab d_model"),
    "pos_embed.W_pos": Take("wpe.weight", "pos d_model"),
    "blocks.{i}.ln1.w": Take("h.{i}.ln_1.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("h.{i}.ln_1.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take("h.{i}.attn.attention.q_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_K": Take("h.{i}.attn.attention.k_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_V": Take("h.{i}.attn.attention.v_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_O": Take(
        "h.{i}.attn.attention.out_proj.weight", "d_model (head d_head) -> head d_head d_model"
    ),
    "blocks.{i}.attn.b_O": Take("h.{i}.attn.attention.out_proj.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("h.{i}.ln_2.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("h.{i}.ln_2.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take("h.{i}.mlp.c_fc.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("h.{i}.mlp.c_fc.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("h.{i}.mlp.c_proj.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("h.{i}.mlp.c_proj.bias", "d_model"),
    "ln_final.w": Take("ln_f.weight", "d_model"),
    "ln_final.b": Take("ln_f.bias", "d_model"),
}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return TENSORS if config.get("tie_word_embeddings", True) else {**TENSORS, **HEAD}


GPT_NEO = Family(
    name="GPT-Neo",
    model_types=("gpt_neo",),
    architectures=("GPTNeoForCausalLM",),
    special="global and local layers, unscaled scores, no query-key-value biases (TinyStories too)",
    config=CONFIG,
    tensors=tensors,
    prefixes=("transformer.",),
    ignored=(r"\.attention\.(bias|masked_bias)$", r"^lm_head\.weight$"),
)
