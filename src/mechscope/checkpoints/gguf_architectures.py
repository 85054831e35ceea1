"""From a GGUF file to a Hugging Face checkpoint: the fields of its config, its tensor names, its layouts.

llama.cpp's converter renames tensors, reorders the rows of queries and keys (Llama), transposes matrices (GPT-2), and
adds one to norm weights (Gemma). All of this is undone here, so that a family's adapter reads a GGUF file as it reads
any other checkpoint.

Source of the layout: the GGUF specification (ggml-org/ggml, docs/gguf.md) and llama.cpp's convert_hf_to_gguf.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange

from mechscope.arguments import shown
from mechscope.checkpoints.gguf_file import GgufFile, GgufSource, Transform

LLAMA3_SCALING = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Settings of Llama 3.1 and 3.2's rotary scaling. A file has only the factors that follow from them."""
LAYERS_OF_27B = {"gemma2": 46, "gemma3": 62}
"""Layers of the one size of each Gemma that divides its scores by the root of d_model / n_heads."""


class Metadata:
    """The metadata of one architecture, whose keys begin with its name.

    Raises:
        ValueError: when a required entry is read that is missing or not a number.
    """

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.architecture: str = str(file.metadata.get("general.architecture", ""))

    def get(self, key: str, default: Any = None) -> Any:
        """An entry of the architecture, such as "rope.freq_base"."""
        return self.file.metadata.get(f"{self.architecture}.{key}", default)

    def number(self, key: str) -> Any:
        """A required number.

        Raises:
            ValueError: if it is missing or not one number.
        """
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = "is missing" if value is None else f"is {shown(value)}, not one number for all layers"
            raise ValueError(
                f"{str(self.file.path)!r}: its entry {self.architecture}.{key} {problem}; a {self.architecture} model "
                "needs it."
            )
        return value


@dataclass(frozen=True)
class Architecture:
    """How one of llama.cpp's architectures maps to a Hugging Face model type."""

    model_type: str
    """`model_type` of config.json."""
    fields: Callable[[Metadata], dict[str, Any]]
    """The fields of config.json."""
    tensors: Mapping[str, str]
    """Name in the file, with `{i}` for the layer and without ".weight" or ".bias" → name in the checkpoint."""
    transform: Callable[[str, Metadata], Transform | None] = lambda name, metadata: None
    """Name in the file → what undoes the conversion of that tensor."""


def _common(metadata: Metadata) -> dict[str, Any]:
    heads = metadata.number("attention.head_count")
    fields = {
        "hidden_size": metadata.number("embedding_length"),
        "num_hidden_layers": metadata.number("block_count"),
        "num_attention_heads": heads,
        "intermediate_size": metadata.number("feed_forward_length"),
        "max_position_embeddings": metadata.number("context_length"),
        "vocab_size": _rows(metadata.file, "token_embd.weight"),
        "tie_word_embeddings": "output.weight" not in metadata.file.names(),
        "hidden_act": "silu",
        "num_key_value_heads": metadata.get("attention.head_count_kv", heads),
        "rope_theta": float(metadata.get("rope.freq_base", 10_000.0)),
        "rope_scaling": _rope_scaling(metadata),
        "head_dim": metadata.get("attention.key_length"),
    }
    widths = {metadata.get(f"attention.{name}_length", fields["head_dim"]) for name in ("key", "value")}
    if len(widths) > 1:
        raise ValueError(
            f"{str(metadata.file.path)!r}: keys and values of a head have different widths "
            f"({', '.join(sorted(map(str, widths)))}), which mechscope does not support."
        )
    return fields


def _rms(metadata: Metadata) -> dict[str, Any]:
    return _common(metadata) | {"rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon")}


def _llama(metadata: Metadata) -> dict[str, Any]:
    if metadata.get("expert_count", 0):
        raise ValueError(
            f"{str(metadata.file.path)!r} is a mixture of experts, which mechscope does not support."
        )
    return _rms(metadata) | {"attention_bias": "blk.0.attn_q.bias" in metadata.file.names()}


def _gemma(metadata: Metadata) -> dict[str, Any]:
    return _rms(metadata) | {"hidden_activation": "gelu_pytorch_tanh", "hidden_act": None}


def _gemma2(metadata: Metadata) -> dict[str, Any]:
    return _gemma(metadata) | {
        "query_pre_attn_scalar": _score_scale(metadata),
        "attn_logit_softcapping": float(metadata.get("attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": float(metadata.get("final_logit_softcapping", 30.0)),
        "sliding_window": metadata.get("attention.sliding_window", 4096),
    }


def _gemma3(metadata: Metadata) -> dict[str, Any]:
    fields = _gemma(metadata)
    return fields | {
        "query_pre_attn_scalar": _score_scale(metadata),
        "sliding_window": metadata.number("attention.sliding_window"),
        "sliding_window_pattern": 6,
        "rope_theta": float(metadata.get("rope.freq_base", 1_000_000.0)),
        "rope_local_base_freq": float(metadata.get("rope.freq_base_swa", 10_000.0)),
        "final_logit_softcapping": metadata.get("final_logit_softcapping"),
    }


def _score_scale(metadata: Metadata) -> float:
    if metadata.number("block_count") == LAYERS_OF_27B[metadata.architecture]:
        return metadata.number("embedding_length") / metadata.number("attention.head_count")
    return metadata.number("attention.key_length")


def _phi2(metadata: Metadata) -> dict[str, Any]:
    fields = _common(metadata)
    head = fields["hidden_size"] // fields["num_attention_heads"]
    return fields | {
        "layer_norm_eps": metadata.number("attention.layer_norm_epsilon"),
        "partial_rotary_factor": metadata.number("rope.dimension_count") / head,
        "hidden_act": "gelu_new",
    }


def _phi3(metadata: Metadata) -> dict[str, Any]:
    if any(name.startswith("rope_factors_") for name in metadata.file.names()):
        raise ValueError(
            f"{str(metadata.file.path)!r} scales its rotary positions by a table for long texts (longrope), which "
            "mechscope does not compute."
        )
    head = metadata.number("embedding_length") // metadata.number("attention.head_count")
    return _rms(metadata) | {
        "partial_rotary_factor": metadata.get("rope.dimension_count", head) / head,
        "sliding_window": metadata.get("attention.sliding_window"),
    }


def _gpt2(metadata: Metadata) -> dict[str, Any]:
    return {
        "n_embd": metadata.number("embedding_length"),
        "n_layer": metadata.number("block_count"),
        "n_head": metadata.number("attention.head_count"),
        "n_inner": metadata.number("feed_forward_length"),
        "n_positions": metadata.number("context_length"),
        "vocab_size": _rows(metadata.file, "token_embd.weight"),
        "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
        "activation_function": "gelu_new",
        "tie_word_embeddings": "output.weight" not in metadata.file.names(),
    }


def _rows(file: GgufFile, name: str) -> int:
    if name not in file.names():
        raise ValueError(f"{str(file.path)!r} has no tensor {name!r}: it is not a whole language model.")
    return file.shape(name)[0]


def _rope_scaling(metadata: Metadata) -> dict[str, Any] | None:
    if "rope_freqs.weight" in metadata.file.names():
        return _llama3_scaling(metadata)
    kind = metadata.get("rope.scaling.type", "none")
    if kind in ("none", ""):
        return None
    described = {"rope_type": kind, "factor": float(metadata.number("rope.scaling.factor"))}
    original = metadata.get("rope.scaling.original_context_length")
    return described if original is None else described | {"original_max_position_embeddings": original}


def _llama3_scaling(metadata: Metadata) -> dict[str, Any]:
    """The settings that give the factors in the file: it holds them instead of the settings."""
    factors = metadata.file.tensor("rope_freqs.weight").double()
    base, factor = float(metadata.get("rope.freq_base", 10_000.0)), float(factors.max())
    wavelengths = 2 * torch.pi * base ** (torch.arange(len(factors)).double() / len(factors))
    low, high, original = LLAMA3_SCALING.values()
    smooth = ((original / wavelengths - low) / (high - low)).clamp(0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if not torch.allclose(factors, expected, rtol=1e-3):
        raise ValueError(
            f"{str(metadata.file.path)!r} scales its rotary positions by factors that are not those of Llama 3, so its "
            "attention cannot be computed."
        )
    return {"rope_type": "llama3", "factor": factor, **LLAMA3_SCALING}


def _sorted_back(heads: int) -> Transform:
    """Undo the reordering of rotary rows: from neighbours that turn together to halves that do."""

    def undo(rows: torch.Tensor) -> torch.Tensor:
        return rearrange(rows, "(head pair two) ... -> (head two pair) ...", head=heads, two=2)

    return undo


def _llama_transform(name: str, metadata: Metadata) -> Transform | None:
    heads = metadata.number("attention.head_count")
    if ".attn_q." in name:
        return _sorted_back(heads)
    if ".attn_k." in name:
        return _sorted_back(metadata.get("attention.head_count_kv", heads))
    return None


def _gemma_transform(name: str, metadata: Metadata) -> Transform | None:
    return (lambda weight: weight - 1) if name.endswith("norm.weight") else None


def _gpt2_transform(name: str, metadata: Metadata) -> Transform | None:
    matrices = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    return (lambda matrix: matrix.T) if name.endswith(matrices) else None


_LLAMA = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "blk.{i}.attn_norm": "layers.{i}.input_layernorm",
    "blk.{i}.ffn_norm": "layers.{i}.post_attention_layernorm",
    "blk.{i}.attn_q": "layers.{i}.self_attn.q_proj",
    "blk.{i}.attn_k": "layers.{i}.self_attn.k_proj",
    "blk.{i}.attn_v": "layers.{i}.self_attn.v_proj",
    "blk.{i}.attn_output": "layers.{i}.self_attn.o_proj",
    "blk.{i}.attn_q_norm": "layers.{i}.self_attn.q_norm",
    "blk.{i}.attn_k_norm": "layers.{i}.self_attn.k_norm",
    "blk.{i}.ffn_gate": "layers.{i}.mlp.gate_proj",
    "blk.{i}.ffn_up": "layers.{i}.mlp.up_proj",
    "blk.{i}.ffn_down": "layers.{i}.mlp.down_proj",
}
_FOUR_NORMS = _LLAMA | {
    "blk.{i}.post_attention_norm": "layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_norm": "layers.{i}.pre_feedforward_layernorm",
    "blk.{i}.post_ffw_norm": "layers.{i}.post_feedforward_layernorm",
}
_PHI2 = _LLAMA | {
    "output_norm": "final_layernorm",
    "blk.{i}.attn_output": "layers.{i}.self_attn.dense",
    "blk.{i}.attn_qkv": "layers.{i}.self_attn.qkv",
    "blk.{i}.ffn_up": "layers.{i}.mlp.fc1",
    "blk.{i}.ffn_down": "layers.{i}.mlp.fc2",
}
_PHI3 = _LLAMA | {
    "blk.{i}.attn_qkv": "layers.{i}.self_attn.qkv_proj",
    "blk.{i}.ffn_up": "layers.{i}.mlp.gate_up_proj",
}
_GPT2 = {
    "token_embd": "wte",
    "position_embd": "wpe",
    "output_norm": "ln_f",
    "output": "lm_head",
    "blk.{i}.attn_norm": "h.{i}.ln_1",
    "blk.{i}.attn_qkv": "h.{i}.attn.c_attn",
    "blk.{i}.attn_output": "h.{i}.attn.c_proj",
    "blk.{i}.ffn_norm": "h.{i}.ln_2",
    "blk.{i}.ffn_up": "h.{i}.mlp.c_fc",
    "blk.{i}.ffn_down": "h.{i}.mlp.c_proj",
}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", _llama, _LLAMA, _llama_transform),
    "qwen2": Architecture("qwen2", _rms, _LLAMA),
    "qwen3": Architecture("qwen3", _rms, _LLAMA),
    "gemma": Architecture("gemma", _gemma, _LLAMA, _gemma_transform),
    "gemma2": Architecture("gemma2", _gemma2, _FOUR_NORMS, _gemma_transform),
    "gemma3": Architecture("gemma3_text", _gemma3, _FOUR_NORMS, _gemma_transform),
    "phi2": Architecture("phi", _phi2, _PHI2),
    "phi3": Architecture("phi3", _phi3, _PHI3),
    "gpt2": Architecture("gpt2", _gpt2, _GPT2, _gpt2_transform),
}
"""llama.cpp's name of an architecture → how to read it."""
NOT_WEIGHTS = ("rope_freqs.weight",)
"""Tensors that are settings."""


def as_hugging_face(file: GgufFile) -> tuple[dict[str, Any], GgufSource]:
    """The fields of the config.json and the tensors of the checkpoint that a GGUF file was made from.

    Raises:
        ValueError: for an architecture without an adapter (lists the supported ones), a missing entry, and tensors
            that the architecture does not have.
    """
    metadata = Metadata(file)
    architecture = ARCHITECTURES.get(metadata.architecture)
    if architecture is None:
        raise ValueError(
            f"{str(file.path)!r} is a GGUF file of the architecture {metadata.architecture!r}; mechscope reads "
            f"{', '.join(ARCHITECTURES)}."
        )
    fields = architecture.fields(metadata) | {"model_type": architecture.model_type}
    stored_as: dict[str, tuple[str, Transform | None]] = {}
    unknown: list[str] = []
    for name in file.names():
        if name in NOT_WEIGHTS:
            continue
        translated = _translated(name, architecture.tensors)
        if translated is None:
            unknown.append(name)
        else:
            stored_as[translated] = (name, architecture.transform(name, metadata))
    if unknown:
        raise ValueError(
            f"{str(file.path)!r} has tensors that a {metadata.architecture} model does not have: "
            f"{', '.join(unknown[:5])}{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}."
        )
    if architecture.model_type == "phi":
        stored_as = _split_queries_keys_values(stored_as, fields)
    present = {name: value for name, value in fields.items() if value is not None}
    return present, GgufSource(file, stored_as)


def _translated(name: str, tensors: Mapping[str, str]) -> str | None:
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", stem)
    general = f"blk.{{i}}.{layer[2]}" if layer else stem
    if general not in tensors or kind not in ("weight", "bias"):
        return None
    return f"{tensors[general].format(i=layer[1] if layer else '')}.{kind}"


def _split_queries_keys_values(
    stored_as: Mapping[str, tuple[str, Transform | None]], fields: Mapping[str, Any]
) -> dict[str, tuple[str, Transform | None]]:
    """Phi 1 to 2 as transformers has them: three matrices, where older files have one."""
    width = fields["hidden_size"] // fields["num_attention_heads"]
    sizes = [fields["num_attention_heads"] * width] + 2 * [fields["num_key_value_heads"] * width]
    split: dict[str, tuple[str, Transform | None]] = {}
    for name, (stored, transform) in stored_as.items():
        if ".qkv." not in name:
            split[name] = (stored, transform)
            continue
        for number, letter in enumerate("qkv"):
            start = sum(sizes[:number])
            part = slice(start, start + sizes[number])
            split[name.replace(".qkv.", f".{letter}_proj.")] = (stored, _rows_of(part))
    return split


def _rows_of(part: slice) -> Transform:
    return lambda rows: rows[part]
