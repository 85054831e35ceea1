"""Gemma 1 to 3 (Google 2024, 2025): norm weights stored minus one, and a scaled embedding.

Loading bakes both conventions into the weights, so that a norm multiplies by its weight and the embedding
is what enters the residual stream. The unembedding is the unscaled embedding, as a view of the file's
memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from mechscope.checkpoints.adapters import llama
from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation, layer_kinds, rope
from mechscope.checkpoints.mapping import Table, Take, plus_one, times_sqrt_d_model


def gelu(config: HfConfig) -> str:
    """The first configs said "gelu" although the model was trained with the tanh form."""
    named = activation("hidden_activation", "hidden_act")(config)
    return "gelu_pytorch_tanh" if named == "gelu" and "hidden_activation" not in config else named


def _from_one(table: Table) -> Table:
    return {ours: replace(take, then=plus_one) for ours, take in table.items()}


EMBEDDING: Table = {"embed.W_E": Take("embed_tokens.weight", "d_vocab d_model", then=times_sqrt_d_model)}
TIED_HEAD: Table = {"unembed.W_U": Take("embed_tokens.weight", "d_vocab d_model -> d_model d_vocab")}
NORMS = _from_one(llama.NORMS)
FOUR_NORMS = _from_one(
    {
        "blocks.{i}.ln1.w": Take("layers.{i}.input_layernorm.weight", "d_model"),
        "blocks.{i}.ln1_post.w": Take("layers.{i}.post_attention_layernorm.weight", "d_model"),
        "blocks.{i}.ln2.w": Take("layers.{i}.pre_feedforward_layernorm.weight", "d_model"),
        "blocks.{i}.ln2_post.w": Take("layers.{i}.post_feedforward_layernorm.weight", "d_model"),
        "ln_final.w": Take("norm.weight", "d_model"),
    }
)
HEAD_NORMS = _from_one(llama.HEAD_NORMS)


def _head(config: HfConfig) -> Table:
    return TIED_HEAD if config.get("tie_word_embeddings", True) else llama.HEAD


def gemma_tensors(config: HfConfig, names: Collection[str]) -> Table:
    attention = {**llama.ATTENTION, **llama.attention_biases(config)}
    return {**EMBEDDING, **NORMS, **attention, **llama.MLP, **_head(config)}


def gemma2_tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**gemma_tensors(config, names), **FOUR_NORMS}


def gemma3_tensors(config: HfConfig, names: Collection[str]) -> Table:
    return {**gemma2_tensors(config, names), **HEAD_NORMS}


# The scaling makes the two embeddings differ, so they are not tied here.
GEMMA_CONFIG: ConfigTable = {**llama.CONFIG, "act_fn": gelu, "tie_word_embeddings": always(False)}

GEMMA2_CONFIG: ConfigTable = {
    **GEMMA_CONFIG,
    "norm_placement": always("pre_and_post"),
    "attn_scale": lambda config: math.sqrt(config.get("query_pre_attn_scalar", 256)),
    "attn_scores_soft_cap": lambda config: float(config.get("attn_logit_softcapping", -1.0)),
    "output_logits_soft_cap": lambda config: float(config.get("final_logit_softcapping", -1.0)),
    "attn_types": lambda config: layer_kinds(config, lambda layer: layer % 2 == 0),
    "window_size": lambda config: config.get("sliding_window", 4096),
}


def gemma3_kinds(config: HfConfig) -> list[str]:
    """Five local layers, then a global one, unless the config gives another period."""
    # Some files have both spellings; asking for both keeps either from counting as a setting that nobody read.
    named = [config.get(name) for name in ("sliding_window_pattern", "_sliding_window_pattern")]
    period = next(filter(None, named), 6)
    return layer_kinds(config, lambda layer: (layer + 1) % period != 0)


def gemma3_local_base(config: HfConfig) -> float:
    return rope(config, layer_type="sliding_attention", base=10_000.0, base_field="rope_local_base_freq").base


# The config of a Gemma 3 with a vision tower lists only what differs from these.
GEMMA3_CONFIG: ConfigTable = {
    **GEMMA2_CONFIG,
    "n_heads": lambda config: config.get("num_attention_heads", 8),
    "n_key_value_heads": lambda config: config.get("num_key_value_heads", 4),
    "d_head": lambda config: config.get("head_dim", 256),
    "n_ctx": lambda config: config.get("max_position_embeddings", 131_072),
    "d_vocab": lambda config: config.get("vocab_size", 262_208),
    "eps": lambda config: config.get("rms_norm_eps", 1e-6),
    "act_fn": lambda config: gelu(config) if "hidden_activation" in config else "gelu_pytorch_tanh",
    "rotary_dim": lambda config: config.get("head_dim", 256),
    "rotary_base": lambda config: rope(config, base=1_000_000.0).base,
    "rotary_base_local": gemma3_local_base,
    "attn_types": gemma3_kinds,
    "qk_norm": always("per_head"),
}

PREFIXES = ("language_model.model.", "model.language_model.", "language_model.", "model.")

GEMMA = Family(
    name="Gemma",
    model_types=("gemma",),
    architectures=("GemmaForCausalLM",),
    special="scaled embedding, norms stored as distances from one, wide heads",
    config=GEMMA_CONFIG,
    tensors=gemma_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
)

GEMMA2 = Family(
    name="Gemma 2",
    model_types=("gemma2",),
    architectures=("Gemma2ForCausalLM",),
    special="norms before and after each sublayer, soft-capped scores and logits, every other layer local",
    config=GEMMA2_CONFIG,
    tensors=gemma2_tensors,
    prefixes=llama.PREFIXES,
    ignored=llama.IGNORED,
)

GEMMA3 = Family(
    name="Gemma 3 (text)",
    model_types=("gemma3_text", "gemma3"),
    architectures=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    special="norms on queries and keys, five local layers to one global, a rotary base for each kind",
    config=GEMMA3_CONFIG,
    tensors=gemma3_tensors,
    prefixes=PREFIXES,
    passed_over=tuple(
        prefix + part for prefix in ("", "model.") for part in ("vision_tower.", "multi_modal_projector.")
    ),
    ignored=llama.IGNORED,
)
