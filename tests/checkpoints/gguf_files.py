"""Write models of transformers as llama.cpp's converter does, to compare what is read with the original."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from tests.checkpoints.tiny_models import TINY, Tiny

LLAMA = {
    r"model\.embed_tokens": "token_embd",
    r"model\.norm": "output_norm",
    r"lm_head": "output",
    r"model\.layers\.(\d+)\.input_layernorm": r"blk.\1.attn_norm",
    r"model\.layers\.(\d+)\.post_attention_layernorm": r"blk.\1.ffn_norm",
    r"model\.layers\.(\d+)\.self_attn\.([qkv])_proj": r"blk.\1.attn_\2",
    r"model\.layers\.(\d+)\.self_attn\.o_proj": r"blk.\1.attn_output",
    r"model\.layers\.(\d+)\.self_attn\.([qk])_norm": r"blk.\1.attn_\2_norm",
    r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj": r"blk.\1.ffn_\2",
}
GEMMA2 = LLAMA | {
    r"model\.layers\.(\d+)\.post_attention_layernorm": r"blk.\1.post_attention_norm",
    r"model\.layers\.(\d+)\.pre_feedforward_layernorm": r"blk.\1.ffn_norm",
    r"model\.layers\.(\d+)\.post_feedforward_layernorm": r"blk.\1.post_ffw_norm",
}
PHI2 = LLAMA | {
    r"model\.final_layernorm": "output_norm",
    r"model\.layers\.(\d+)\.self_attn\.dense": r"blk.\1.attn_output",
    r"model\.layers\.(\d+)\.mlp\.fc1": r"blk.\1.ffn_up",
    r"model\.layers\.(\d+)\.mlp\.fc2": r"blk.\1.ffn_down",
}
PHI3 = LLAMA | {
    r"model\.layers\.(\d+)\.self_attn\.qkv_proj": r"blk.\1.attn_qkv",
    r"model\.layers\.(\d+)\.mlp\.gate_up_proj": r"blk.\1.ffn_up",
}
GPT2 = {
    r"transformer\.wte": "token_embd",
    r"transformer\.wpe": "position_embd",
    r"transformer\.ln_f": "output_norm",
    r"lm_head": "output",
    r"transformer\.h\.(\d+)\.ln_1": r"blk.\1.attn_norm",
    r"transformer\.h\.(\d+)\.ln_2": r"blk.\1.ffn_norm",
    r"transformer\.h\.(\d+)\.attn\.c_attn": r"blk.\1.attn_qkv",
    r"transformer\.h\.(\d+)\.attn\.c_proj": r"blk.\1.attn_output",
    r"transformer\.h\.(\d+)\.mlp\.c_fc": r"blk.\1.ffn_up",
    r"transformer\.h\.(\d+)\.mlp\.c_proj": r"blk.\1.ffn_down",
}


@dataclass(frozen=True)
class Written:
    """One family as GGUF."""

    architecture: str
    """llama.cpp's name."""
    names: dict[str, str]
    """Pattern of a name in transformers → name in the file."""


ARCHITECTURES = {
    "gpt2": Written("gpt2", GPT2),
    "llama": Written("llama", LLAMA),
    "llama-3": Written("llama", LLAMA),
    "mistral-global": Written("llama", LLAMA),
    "qwen2.5-tied": Written("qwen2", LLAMA),
    "qwen3": Written("qwen3", LLAMA),
    "gemma": Written("gemma", LLAMA),
    "gemma-2": Written("gemma2", GEMMA2),
    "gemma-3": Written("gemma3", GEMMA2),
    "phi-2": Written("phi2", PHI2),
    "phi-3": Written("phi3", PHI3),
}
"""Key of TINY → how it is written."""

BLOCKED = {
    "llama": {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64},
    "qwen2.5-tied": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "gemma-2": {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64},
    "phi-3": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "gpt2": {"n_embd": 256, "n_head": 4},
}
"""Sizes whose rows are whole blocks of every quantisation."""


def tiny(name: str, *, blocked: bool = False) -> Tiny:
    """A tiny model that GGUF can describe: its settings are those that the format has room for."""
    each = TINY[name]
    settings = {**each.settings, **(BLOCKED[name] if blocked else {})}
    if name == "gemma-2":
        settings |= {"query_pre_attn_scalar": settings["head_dim"]}
    if name == "gemma-3":
        settings |= {"query_pre_attn_scalar": settings["head_dim"], "sliding_window_pattern": 6}
        settings["rope_parameters"] = {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 900.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        }
    if name == "llama-3":
        settings["rope_parameters"] = {
            **settings["rope_parameters"], "original_max_position_embeddings": 8192, "rope_theta": 500_000.0,
        }  # fmt: skip
        settings["head_dim"] = 32  # long enough for wavelengths on both sides of the original context
    return Tiny(each.family, each.config, each.model, settings)


def write(model: Any, name: str, path: Path, kind: str = "F32", **metadata: Any) -> Any:
    """Write a model; returns the same model with the weights that its file holds (rounded by the quantisation).

    Args:
        kind: storage of the matrices, "F32", "F16", "Q8_0" or "Q4_K" (whose blocks are drawn at random).
        metadata: further entries, by key.
    """
    written = ARCHITECTURES[name]
    writer = gguf.GGUFWriter(path, written.architecture)
    _write_settings(writer, model.config, written.architecture)
    for key, value in metadata.items():
        _write_entry(writer, key, value)
    state = model.state_dict()
    stored: dict[str, torch.Tensor] = {}
    for hf_name, tensor in state.items():
        if hf_name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        file_name = _file_name(hf_name, written.names)
        there = _to_file(file_name, tensor.float(), written.architecture, model.config)
        data, held = _quantise(there, kind)
        writer.add_tensor(file_name, data[0], raw_dtype=data[1])
        stored[hf_name] = _from_file(file_name, held, written.architecture, model.config)
    scaling = getattr(model.config, "rope_parameters", None) or {}
    if scaling.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(model.config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(stored, strict=False)
    model.tie_weights()
    return model


def _file_name(name: str, names: dict[str, str]) -> str:
    stem, _, kind = name.rpartition(".")
    for pattern, replacement in names.items():
        if re.fullmatch(pattern, stem):
            return f"{re.sub(pattern, replacement, stem)}.{kind}"
    raise KeyError(name)


def _write_settings(writer: Any, config: Any, architecture: str) -> None:
    heads = config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    if architecture == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = dict(config.rope_parameters)
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    if architecture == "phi2":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_rope_dimension_count(int(head * rope["partial_rotary_factor"]))
        return
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture == "phi3":
        writer.add_rope_dimension_count(int(head * rope.get("partial_rotary_factor", 1.0)))
        if config.sliding_window:
            writer.add_sliding_window(config.sliding_window)
        return
    writer.add_key_length(head)
    writer.add_value_length(head)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if architecture in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def _write_entry(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_array(key, value)


def _heads_of(name: str, config: Any) -> int | None:
    if ".attn_q." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if ".attn_k." in name else None


def _to_file(name: str, tensor: torch.Tensor, architecture: str, config: Any) -> torch.Tensor:
    if architecture == "llama" and (heads := _heads_of(name, config)):
        # Rows in halves (x of all pairs, then y of all pairs) become neighbours (x, y of each pair).
        halves = tensor.view(heads, 2, -1, *tensor.shape[1:])
        return torch.stack([halves[:, 0], halves[:, 1]], dim=2).reshape(tensor.shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return tensor + 1
    if architecture == "gpt2" and tensor.ndim == 2 and name.startswith("blk."):
        return tensor.T.contiguous()
    return tensor


def _from_file(name: str, tensor: torch.Tensor, architecture: str, config: Any) -> torch.Tensor:
    if architecture == "llama" and (heads := _heads_of(name, config)):
        pairs = tensor.view(heads, -1, 2, *tensor.shape[1:])
        return torch.cat([pairs[:, :, 0], pairs[:, :, 1]], dim=1).reshape(tensor.shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return tensor - 1
    if architecture == "gpt2" and tensor.ndim == 2 and name.startswith("blk."):
        return tensor.T
    return tensor


def _quantise(tensor: torch.Tensor, kind: str) -> tuple[tuple[np.ndarray, Any], torch.Tensor]:
    values = np.ascontiguousarray(tensor.numpy())
    if tensor.ndim < 2 or kind == "F32":
        return (values, None), tensor
    if kind == "F16":
        half = values.astype(np.float16)
        return (half, None), torch.from_numpy(half.astype(np.float32))
    storage = gguf.GGMLQuantizationType[kind]
    if kind == "Q4_K":
        blocks = _random_q4_k(values.shape)
    else:
        blocks = gguf.quants.quantize(values, storage)
    return (blocks, storage), torch.from_numpy(gguf.quants.dequantize(blocks, storage))


def _random_q4_k(shape: tuple[int, ...]) -> np.ndarray:
    """Blocks of 256 numbers: two scales in float16, twelve bytes of finer scales, 128 bytes of numbers."""
    generator = np.random.default_rng(sum(shape))
    blocks = generator.integers(0, 256, (math.prod(shape) // 256, 144), dtype=np.uint8)
    scales = generator.uniform(1e-4, 3e-4, (len(blocks), 2)).astype(np.float16)
    blocks[:, :4] = scales.view(np.uint8)
    return blocks.reshape(shape[0], -1)


def _llama3_factors(config: Any) -> np.ndarray:
    described, half = config.rope_parameters, config.head_dim // 2
    factors = []
    for pair in range(half):
        wavelength = 2 * math.pi * described["rope_theta"] ** (pair / half)
        original = described["original_max_position_embeddings"]
        if wavelength < original / described["high_freq_factor"]:
            factors.append(1.0)
        elif wavelength > original / described["low_freq_factor"]:
            factors.append(described["factor"])
        else:
            low, high = described["low_freq_factor"], described["high_freq_factor"]
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / described["factor"] + smooth))
    return np.array(factors, np.float32)
