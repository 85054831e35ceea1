"""The valid values of each field of a Hugging Face config.json that an adapter reads.

A file can contain anything. Without these checks, a wrong value would cause a TypeError deep inside an adapter, a
model that computes nonsense (a negative epsilon), or a load that never ends (2⁴⁰ layers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mechscope.arguments import is_number, is_whole_number, shown
from mechscope.model.config import MAX_LAYERS, MAX_SIZE


@dataclass(frozen=True)
class Kind:
    """A kind of value."""

    words: str
    """Description for error messages."""
    fits: Callable[[Any], bool]
    """Whether a value is of this kind."""


def _is_number(value: Any, least: float = -math.inf) -> bool:
    return is_number(value, float) and abs(value) < 1e300 and value >= least


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(item, str) for item in cast("list[Any]", value)
    )


def _is_pattern(value: Any) -> bool:
    """[[["global", "local"], 12]]: lists of layer types, each with a repeat count."""
    if not isinstance(value, (list, tuple)):
        return False
    pairs = [
        list(cast("list[Any]", pair)) for pair in cast("list[Any]", value) if isinstance(pair, (list, tuple))
    ]
    whole = all(
        len(pair) == 2 and _is_texts(pair[0]) and is_whole_number(pair[1], 0, MAX_LAYERS) for pair in pairs
    )
    return whole and len(pairs) == len(cast("list[Any]", value))


def _is_rope(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    for name, item in cast("Mapping[str, Any]", value).items():
        if (isinstance(item, Mapping) or name in _LAYER_TYPES) and not _is_rope(item):
            return False  # one table per type of layer
        if name in ("rope_type", "type") and not isinstance(item, str | None):
            return False
        if name in _ROPE_KINDS and item is not None and not _ROPE_KINDS[name].fits(item):
            return False
    fields = cast("Mapping[str, Any]", value)
    kind = fields.get("rope_type") or fields.get("type") or "default"
    return all(fields.get(name) is not None for name in _ROPE_NEEDS.get(kind, ()))


_LAYER_TYPES = ("full_attention", "sliding_attention")
_ROPE_NEEDS: Mapping[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}

WHOLE = Kind(f"a whole number from 1 to {MAX_SIZE:,}", lambda value: is_whole_number(value, 1, MAX_SIZE))
WHOLE_OR_ZERO = Kind(
    f"a whole number from 0 to {MAX_SIZE:,}", lambda value: is_whole_number(value, 0, MAX_SIZE)
)
LAYERS = Kind(f"a whole number from 0 to {MAX_LAYERS:,}", lambda value: is_whole_number(value, 0, MAX_LAYERS))
SMALL = Kind("a finite number of at least 0", lambda value: _is_number(value, 0))
NUMBER = Kind("a finite number", _is_number)
POSITIVE = Kind("a finite number above 0", lambda value: _is_number(value) and value > 0)
FRACTION = Kind("a number above 0 and at most 1", lambda value: _is_number(value) and 0 < value <= 1)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("text", lambda value: isinstance(value, str))
TEXTS = Kind("a list of names", _is_texts)
PATTERN = Kind('a list of names and counts such as [[["global", "local"], 12]]', _is_pattern)
ROPE = Kind("a complete table of rotary settings whose numbers are positive and finite", _is_rope)

_ROPE_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "rope_theta",
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "attention_factor",
            "beta_fast",
            "beta_slow",
        ),
        POSITIVE,
    ),
    "original_max_position_embeddings": WHOLE,
    "partial_rotary_factor": FRACTION,
    "mscale": SMALL,
    "mscale_all_dim": SMALL,
    "truncate": SWITCH,
}
FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers"), LAYERS),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "n_embed", "num_attention_heads", "n_head", "num_heads", "num_key_value_heads",
         "head_dim", "intermediate_size", "n_inner", "ffn_dim", "max_position_embeddings", "n_positions",
         "seq_length", "vocab_size", "word_embed_proj_dim", "window_size", "sliding_window",
         "sliding_window_pattern", "_sliding_window_pattern", "original_max_position_embeddings"), WHOLE,
    ),
    **dict.fromkeys(("max_window_layers", "rotary_dim"), WHOLE_OR_ZERO),
    **dict.fromkeys(("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"), SMALL),
    **dict.fromkeys(("rope_theta", "rotary_emb_base", "rope_local_base_freq", "query_pre_attn_scalar"), POSITIVE),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping"), NUMBER),
    **dict.fromkeys(("partial_rotary_factor", "rotary_pct"), FRACTION),
    **dict.fromkeys(
        ("tie_word_embeddings", "attention_bias", "use_parallel_residual", "scale_attn_weights",
         "scale_attn_by_inverse_layer_idx", "enable_bias", "layer_norm_elementwise_affine", "use_sliding_window"),
        SWITCH,
    ),
    **dict.fromkeys(
        ("model_type", "activation_function", "hidden_act", "hidden_activation"), TEXT
    ),
    **dict.fromkeys(("architectures", "layer_types", "attention_layers"), TEXTS),
    "attention_types": PATTERN,
    **dict.fromkeys(("rope_parameters", "rope_scaling"), ROPE),
}  # fmt: skip
"""Field of config.json → its kind, unless it is null."""


def check_fields(fields: Mapping[str, Any]) -> None:
    """Check every field that an adapter may read.

    Raises:
        ValueError: listing every value of the wrong kind.
    """
    problems: list[str] = []
    for name, kind in FIELDS.items():
        value = fields.get(name)
        if value is not None and not kind.fits(value):
            problems.append(f"{name} must be {kind.words}, not {shown(value)}")
    if problems:
        raise ValueError(f"config.json: {'; '.join(problems)}.")
