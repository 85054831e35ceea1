"""GPT-2 (Radford et al. 2019), DistilGPT-2 and Stanford's replications: fused, input-first matrices."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation
from mechscope.checkpoints.mapping import Table, Take

CONFIG: ConfigTable = {
    "d_model": "n_embd",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "d_head": lambda config: config["n_embd"] // config["n_head"],
    "d_mlp": lambda config: config.get("n_inner", 4 * config["n_embd"]),
    "n_ctx": "n_positions",
    "d_vocab": "vocab_size",
    "act_fn": activation("activation_function"),
    "eps": "layer_norm_epsilon",
    "normalization_type": always("LN"),
    "positional_embedding_type": always("standard"),
    "use_attn_scale": lambda config: config.get("scale_attn_weights", True),
    "scale_attn_by_inverse_layer_idx": lambda config: config.get("scale_attn_by_inverse_layer_idx", False),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", True),
}

QKV = "d_model (qkv head d_head) -> qkv head d_model d_head"
QKV_BIAS = "(qkv head d_head) -> qkv head d_head"

TENSORS: Table = {
    "embed.W_E": Take("wte.weight", "d_vocab d_model"),
    "pos_embed.W_pos": Take("wpe.weight", "pos d_model"),
    "blocks.{i}.ln1.w": Take("h.{i}.ln_1.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("h.{i}.ln_1.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take("h.{i}.attn.c_attn.weight", QKV, part=0),
    "blocks.{i}.attn.W_K": Take("h.{i}.attn.c_attn.weight", QKV, part=1),
    "blocks.{i}.attn.W_V": Take("h.{i}.attn.c_attn.weight", QKV, part=2),
    "blocks.{i}.attn.b_Q": Take("h.{i}.attn.c_attn.bias", QKV_BIAS, part=0),
    "blocks.{i}.attn.b_K": Take("h.{i}.attn.c_attn.bias", QKV_BIAS, part=1),
    "blocks.{i}.attn.b_V": Take("h.{i}.attn.c_attn.bias", QKV_BIAS, part=2),
    "blocks.{i}.attn.W_O": Take("h.{i}.attn.c_proj.weight", "(head d_head) d_model -> head d_head d_model"),
    "blocks.{i}.attn.b_O": Take("h.{i}.attn.c_proj.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("h.{i}.ln_2.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("h.{i}.ln_2.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take("h.{i}.mlp.c_fc.weight", "d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("h.{i}.mlp.c_fc.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("h.{i}.mlp.c_proj.weight", "d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("h.{i}.mlp.c_proj.bias", "d_model"),
    "ln_final.w": Take("ln_f.weight", "d_model"),
    "ln_final.b": Take("ln_f.bias", "d_model"),
}
HEAD: Table = {"unembed.W_U": Take("lm_head.weight", "d_vocab d_model -> d_model d_vocab")}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return TENSORS if config.get("tie_word_embeddings", True) else {**TENSORS, **HEAD}


GPT2 = Family(
    name="GPT-2",
    model_types=("gpt2",),
    architectures=("GPT2LMHeadModel",),
    special="learned positions, fused input-first query-key-value matrix, tied unembedding",
    config=CONFIG,
    tensors=tensors,
    prefixes=("transformer.",),
    ignored=(r"\.attn\.(bias|masked_bias)$", r"^lm_head\.weight$"),
)
