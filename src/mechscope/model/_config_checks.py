"""Check a config: the kinds and ranges of its values, and whether they go together.

The kinds come from the annotations, so a new field is checked automatically.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import hints_of, is_number, not_of_kind, shown

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

ACTIVATION_NAMES = ("relu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "silu", "solu", "solu_ln")
NORMALIZATION_TYPES = ("LN", "LNPre", "RMS", "RMSPre", None)
POSITION_TYPES = ("standard", "rotary", "shortformer", "alibi", "none")
INIT_MODES = ("gpt2", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "zeros")

MAX_LAYERS = 10_000
"""Far more blocks than any model has; with a damaged config, the loader could otherwise run for hours."""
MAX_SIZE = 2**31 - 1
"""The largest width, length or count."""

# Field → (least, largest, another value, which means "unset").
_RANGES: dict[str, tuple[float, float, float | None]] = {
    "n_layers": (0, MAX_LAYERS, None),
    "d_model": (1, MAX_SIZE, None),
    "n_ctx": (1, MAX_SIZE, None),
    "d_head": (1, MAX_SIZE, None),
    "n_heads": (1, MAX_SIZE, -1),
    "d_mlp": (1, MAX_SIZE, None),
    "d_vocab": (1, MAX_SIZE, -1),
    "d_vocab_out": (1, MAX_SIZE, -1),
    "rotary_dim": (0, MAX_SIZE, None),
    "window_size": (1, MAX_SIZE, None),
    "n_key_value_heads": (1, MAX_SIZE, None),
    "eps": (0, math.inf, None),
    "rotary_base": (math.ulp(0), math.inf, None),
    "rotary_base_local": (math.ulp(0), math.inf, None),
    "attn_scale": (math.ulp(0), math.inf, -1),
    "initializer_range": (0, math.inf, -1),
}
_CONVERTED = ("device", "dtype")
"""Fields that also accept other types; the config converts and checks them itself."""

# Type of rotary scaling → (required keys, optional keys).
_ROTARY_SCALINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "linear": (("factor",), ()),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"), ()),
    "yarn": (
        ("factor", "original_max_position_embeddings"),
        ("beta_fast", "beta_slow", "attention_factor", "truncate"),
    ),
    "dynamic": (("factor", "original_max_position_embeddings"), ()),
}


def check_config_values(cfg: Any) -> None:
    """Check the kind and range of every field, and convert NumPy's numbers to Python's.

    Raises:
        ValueError: for a value of the wrong kind, a number that is not finite, or one out of range.
    """
    for name, hint in hints_of(type(cfg)).items():
        value = getattr(cfg, name)
        if name in _CONVERTED:
            continue
        if (words := not_of_kind(value, hint)) is not None:
            raise ValueError(f"{name} must be {words}, not {shown(value)}.")
        if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
            value = int(value) if isinstance(value, numbers.Integral) else float(value)
            setattr(cfg, name, value)
        if name in _RANGES and isinstance(value, (int, float)):
            _check_range(name, value)
    _check_dtype(getattr(cfg, "dtype", torch.float32))


def _check_range(name: str, value: float) -> None:
    least, largest, unset = _RANGES[name]
    if least <= value <= largest or value == unset:
        return
    if largest == math.inf:
        words = "of at least 0" if least == 0 else "above 0"
        raise ValueError(f"{name} must be a number {words}, not {shown(value)}.")
    kind = "a positive whole number" if least == 1 else "a whole number of at least 0"
    raise ValueError(f"{name} must be {kind} and at most {largest:,.0f}, not {shown(value)}.")


def _check_dtype(dtype: object) -> None:
    if isinstance(dtype, str):
        return  # the config converts the name and checks again
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(
            f"dtype must be a floating-point type such as float32, bfloat16 or float64, not {shown(dtype)}."
        )


def check_consistency(cfg: HookedTransformerConfig) -> None:
    """Check the choices of a complete config, and that they go together.

    Raises:
        ValueError: for an unknown choice, or two settings that exclude each other.
    """
    if cfg.n_heads < 1:
        raise ValueError(f"n_heads must be at least 1, not {cfg.n_heads}.")
    if cfg.seed is not None and not 0 <= cfg.seed < 2**32:
        raise ValueError(f"seed must be between 0 and {2**32 - 1}, not {cfg.seed}.")
    _check_choice("act_fn", cfg.act_fn, (*ACTIVATION_NAMES, None))
    _check_choice("normalization_type", cfg.normalization_type, NORMALIZATION_TYPES)
    _check_choice("norm_placement", cfg.norm_placement, ("pre", "pre_and_post", "post"))
    _check_choice("positional_embedding_type", cfg.positional_embedding_type, POSITION_TYPES)
    _check_choice("attention_dir", cfg.attention_dir, ("causal", "bidirectional"))
    _check_choice("init_mode", cfg.init_mode, INIT_MODES)
    _check_choice("qk_norm", cfg.qk_norm, ("none", "per_head", "full"))
    if cfg.n_key_value_heads is not None and cfg.n_heads % cfg.n_key_value_heads:
        raise ValueError(
            f"n_heads={cfg.n_heads} must be a multiple of n_key_value_heads={cfg.n_key_value_heads}: "
            "each key/value head serves an equal group of query heads."
        )
    _check_rotary(cfg)
    if cfg.attn_types is not None:
        if len(cfg.attn_types) != cfg.n_layers:
            raise ValueError(f"attn_types has {len(cfg.attn_types)} entries for n_layers={cfg.n_layers}.")
        for kind in cfg.attn_types:
            _check_choice("attn_types", kind, ("global", "local"))
        if "local" in cfg.attn_types and (cfg.window_size is None or cfg.window_size < 1):
            raise ValueError(f"local attention needs a positive window_size, not {cfg.window_size!r}.")
    if cfg.positional_embedding_type == "alibi" and cfg.attention_dir != "causal":
        raise ValueError("alibi positions are defined for causal attention only.")
    if cfg.norm_placement != "pre" and cfg.parallel_attn_mlp:
        raise ValueError("parallel_attn_mlp needs norm_placement='pre'.")
    if cfg.tie_word_embeddings and cfg.d_vocab_out != cfg.d_vocab:
        raise ValueError(
            f"tied embeddings need d_vocab_out={cfg.d_vocab_out} to equal d_vocab={cfg.d_vocab}."
        )


def _check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(map(str, choices))}, not {value!r}.")


def _check_rotary(cfg: HookedTransformerConfig) -> None:
    if cfg.rotary_dim is not None and (cfg.rotary_dim % 2 or cfg.rotary_dim > cfg.d_head):
        raise ValueError(f"rotary_dim={cfg.rotary_dim} must be even and at most d_head={cfg.d_head}.")
    if cfg.rotary_scaling is not None:
        _check_rotary_scaling(cfg.rotary_scaling, cfg.rotary_dim)
    if cfg.positional_embedding_type != "rotary":
        given = {
            "rotary_scaling": cfg.rotary_scaling is not None,
            "rotary_base_local": cfg.rotary_base_local is not None,
            "rotary_adjacent_pairs": cfg.rotary_adjacent_pairs,
        }
        if unused := [name for name, is_given in given.items() if is_given]:
            raise ValueError(
                f"{', '.join(unused)} would have no effect with positional_embedding_type="
                f"{cfg.positional_embedding_type!r}: set it to 'rotary', or leave this out."
            )


def _check_rotary_scaling(scaling: Mapping[str, Any], rotary_dim: int | None) -> None:
    kind = scaling.get("type")
    if kind not in _ROTARY_SCALINGS:
        raise ValueError(
            f"rotary_scaling type must be one of {', '.join(_ROTARY_SCALINGS)}, not {scaling!r}."
        )
    needed, optional = _ROTARY_SCALINGS[kind]
    missing = [name for name in needed if name not in scaling]
    surplus = [name for name in scaling if name not in ("type", *needed, *optional)]
    if missing or surplus:
        raise ValueError(
            f"rotary_scaling of type {kind!r} "
            + (f"needs {', '.join(missing)}" if missing else f"has no {', '.join(surplus)}")
            + f"; it is {dict(scaling)!r}."
        )
    for name in (*needed, *optional):
        value: Any = scaling.get(name)
        if name == "truncate":
            if not isinstance(value, (bool, type(None))):
                raise ValueError(f"rotary_scaling['truncate'] must be true or false, not {value!r}.")
        elif name in scaling and not (is_number(value, float) and 0 < value < math.inf):
            raise ValueError(
                f"rotary_scaling[{name!r}] must be a positive finite number, not {shown(value)}."
            )
    if kind == "dynamic" and rotary_dim is not None and rotary_dim < 4:
        raise ValueError(f"dynamic rotary scaling needs rotary_dim of at least 4, not {rotary_dim}.")
