"""OLMo 2 (Ai2 2024): norms only after the sublayers, and over all queries and keys together."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters import llama
from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.hf_config import HfConfig
from mechscope.checkpoints.mapping import Table, Take

CONFIG: ConfigTable = {**llama.CONFIG, "norm_placement": always("post"), "qk_norm": always("full")}

NORMS: Table = {
    "blocks.{i}.ln1_post.w": Take("layers.{i}.post_attention_layernorm.weight", "d_model"),
    "blocks.{i}.ln2_post.w": Take("layers.{i}.post_feedforward_layernorm.weight", "d_model"),
    "blocks.{i}.attn.q_norm.w": Take("layers.{i}.self_attn.q_norm.weight", "(head d_head)"),
    "blocks.{i}.attn.k_norm.w": Take("layers.{i}.self_attn.k_norm.weight", "(kv_head d_head)"),
    "ln_final.w": Take("norm.weight", "d_model"),
}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    attention = {**llama.ATTENTION, **llama.attention_biases(config)}
    return {**llama.EMBEDDING, **NORMS, **attention, **llama.MLP, **llama.head(config)}


OLMO2 = Family(
    name="OLMo 2",
    model_types=("olmo2",),
    architectures=("Olmo2ForCausalLM",),
    special="norms only after the sublayers, one norm over all queries and one over all keys",
    config=CONFIG,
    tensors=tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
)
