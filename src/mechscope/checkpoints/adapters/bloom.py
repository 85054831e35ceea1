"""BLOOM (BigScience 2022): ALiBi positions and a norm right after the embedding."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, Refusal, always
from mechscope.checkpoints.adapters.gpt2 import HEAD
from mechscope.checkpoints.adapters.gpt_neox import QKV, QKV_BIAS
from mechscope.checkpoints.adapters.hf_config import HfConfig
from mechscope.checkpoints.mapping import Table, Take


def width(config: HfConfig) -> int:
    return config.get("hidden_size") or config["n_embed"]


def heads(config: HfConfig) -> int:
    return config.get("n_head") or config["num_attention_heads"]


CONFIG: ConfigTable = {
    "d_model": width,
    "n_layers": lambda config: config.get("n_layer") or config["num_hidden_layers"],
    "n_heads": heads,
    "d_head": lambda config: width(config) // heads(config),
    # ALiBi sets no limit; the models were trained on 2,048 tokens.
    "n_ctx": lambda config: config.get("seq_length", 2048),
    "d_vocab": "vocab_size",
    "act_fn": always("gelu_new"),
    "eps": "layer_norm_epsilon",
    "normalization_type": always("LN"),
    "post_embedding_ln": always(True),
    "positional_embedding_type": always("alibi"),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", True),
}

TENSORS: Table = {
    "embed.W_E": Take("word_embeddings.weight", "d_vocab d_model"),
    "embed.ln.w": Take("word_embeddings_layernorm.weight", "d_model"),
    "embed.ln.b": Take("word_embeddings_layernorm.bias", "d_model"),
    "blocks.{i}.ln1.w": Take("h.{i}.input_layernorm.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("h.{i}.input_layernorm.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take("h.{i}.self_attention.query_key_value.weight", QKV, part=0),
    "blocks.{i}.attn.W_K": Take("h.{i}.self_attention.query_key_value.weight", QKV, part=1),
    "blocks.{i}.attn.W_V": Take("h.{i}.self_attention.query_key_value.weight", QKV, part=2),
    "blocks.{i}.attn.b_Q": Take("h.{i}.self_attention.query_key_value.bias", QKV_BIAS, part=0),
    "blocks.{i}.attn.b_K": Take("h.{i}.self_attention.query_key_value.bias", QKV_BIAS, part=1),
    "blocks.{i}.attn.b_V": Take("h.{i}.self_attention.query_key_value.bias", QKV_BIAS, part=2),
    "blocks.{i}.attn.W_O": Take(
        "h.{i}.self_attention.dense.weight", "d_model (head d_head) -> head d_head d_model"
    ),
    "blocks.{i}.attn.b_O": Take("h.{i}.self_attention.dense.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("h.{i}.post_attention_layernorm.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("h.{i}.post_attention_layernorm.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take("h.{i}.mlp.dense_h_to_4h.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("h.{i}.mlp.dense_h_to_4h.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("h.{i}.mlp.dense_4h_to_h.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("h.{i}.mlp.dense_4h_to_h.bias", "d_model"),
    "ln_final.w": Take("ln_f.weight", "d_model"),
    "ln_final.b": Take("ln_f.bias", "d_model"),
}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return TENSORS if config.get("tie_word_embeddings", True) else {**TENSORS, **HEAD}


BLOOM = Family(
    name="BLOOM",
    model_types=("bloom",),
    architectures=("BloomForCausalLM",),
    special="ALiBi positions, a norm after the embedding, heads interleaved in the fused matrix",
    config=CONFIG,
    tensors=tensors,
    prefixes=("transformer.",),
    ignored=(r"^lm_head\.weight$",),
    refused=(
        Refusal(
            "apply_residual_connection_post_layernorm",
            (False,),
            "the residual stream continues from the norm",
        ),
    ),
    prepends_bos=False,
)
