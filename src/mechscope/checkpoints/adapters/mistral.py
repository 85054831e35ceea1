"""Mistral (Jiang et al. 2023): Llama whose layers attend to a window of the latest positions."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters import llama
from mechscope.checkpoints.adapters.family import ConfigTable, Family
from mechscope.checkpoints.adapters.hf_config import HfConfig, layer_kinds
from mechscope.checkpoints.mapping import Table


def attention_kinds(config: HfConfig) -> list[str] | None:
    """Every layer is local if the config has a window, unless `layer_types` says otherwise."""
    return layer_kinds(config, lambda layer: True) if "sliding_window" in config else None


CONFIG: ConfigTable = {
    **llama.CONFIG,
    "attn_types": attention_kinds,
    "window_size": lambda config: config.get("sliding_window"),
}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**llama.EMBEDDING, **llama.NORMS, **llama.ATTENTION, **llama.MLP, **llama.head(config)}


MISTRAL = Family(
    name="Mistral",
    model_types=("mistral",),
    architectures=("MistralForCausalLM",),
    special="Llama with a sliding window",
    config=CONFIG,
    tensors=tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
)
