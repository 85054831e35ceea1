"""Qwen 2, 2.5 and 3 (Yang et al. 2024, 2025): query-key-value biases, later norms on queries and keys."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters import llama
from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.hf_config import HfConfig, layer_kinds
from mechscope.checkpoints.mapping import Table


def attention_kinds(config: HfConfig) -> list[str] | None:
    """Layers from `max_window_layers` on are local, if windows are enabled."""
    if not config.get("use_sliding_window", False) or "sliding_window" not in config:
        return None
    first_local = config.get("max_window_layers", config["num_hidden_layers"])
    return layer_kinds(config, lambda layer: layer >= first_local)


def window(config: HfConfig) -> int | None:
    return config["sliding_window"] if attention_kinds(config) else None


CONFIG: ConfigTable = {**llama.CONFIG, "attn_types": attention_kinds, "window_size": window}


def qwen2_tensors(config: HfConfig, names: Collection[str]) -> Table:
    attention = {**llama.ATTENTION, **llama.QKV_BIASES}
    return {**llama.EMBEDDING, **llama.NORMS, **attention, **llama.MLP, **llama.head(config)}


def qwen3_tensors(config: HfConfig, names: Collection[str]) -> Table:
    attention = {**llama.ATTENTION, **llama.HEAD_NORMS, **llama.attention_biases(config)}
    return {**llama.EMBEDDING, **llama.NORMS, **attention, **llama.MLP, **llama.head(config)}


QWEN2 = Family(
    name="Qwen 2 and 2.5",
    model_types=("qwen2",),
    architectures=("Qwen2ForCausalLM",),
    special="Llama with query, key and value biases, windows in the upper layers",
    config=CONFIG,
    tensors=qwen2_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
    prepends_bos=False,
)

QWEN3 = Family(
    name="Qwen 3",
    model_types=("qwen3",),
    architectures=("Qwen3ForCausalLM",),
    special="Llama with an RMS norm on each head's queries and keys",
    config={**CONFIG, "qk_norm": always("per_head")},
    tensors=qwen3_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
    prepends_bos=False,
)
