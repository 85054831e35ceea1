"""Check that the values of a config have the declared kinds and are in possible ranges.

The kinds come from the annotations, so a new field is checked automatically.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import torch

from mechscope.value_kinds import hints_of, not_of_kind, shown

MOST_LAYERS = 10_000
"""Far more blocks than any model has; with a damaged config, the loader could otherwise run for hours."""
LARGEST = 2**31 - 1
"""The largest width, length or count."""

# Field → (least, largest, other allowed values that mean "unset").
_RANGES: dict[str, tuple[float, float, float | None]] = {
    "n_layers": (0, MOST_LAYERS, None),
    "d_model": (1, LARGEST, None),
    "n_ctx": (1, LARGEST, None),
    "d_head": (1, LARGEST, None),
    "n_heads": (1, LARGEST, -1),
    "d_mlp": (1, LARGEST, None),
    "d_vocab": (1, LARGEST, -1),
    "d_vocab_out": (1, LARGEST, -1),
    "rotary_dim": (0, LARGEST, None),
    "window_size": (1, LARGEST, None),
    "n_key_value_heads": (1, LARGEST, None),
    "eps": (0, math.inf, None),
    "rotary_base": (math.ulp(0), math.inf, None),
    "rotary_base_local": (math.ulp(0), math.inf, None),
    "attn_scale": (math.ulp(0), math.inf, -1),
    "initializer_range": (0, math.inf, -1),
}
_FREE = ("device", "dtype")
"""Fields that also take objects, which the config turns into plain values itself."""


def check_config_values(cfg: Any) -> None:
    """Check every field of a config dataclass, and turn NumPy's numbers into Python's.

    Raises:
        ValueError: for a value of the wrong kind, a number that is not finite, or one out of range.
    """
    for name, hint in hints_of(type(cfg)).items():
        value = getattr(cfg, name)
        if name in _FREE:
            continue
        if (words := not_of_kind(value, hint)) is not None:
            raise ValueError(f"{name} must be {words}, not {shown(value)}.")
        if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
            value = int(value) if isinstance(value, numbers.Integral) else float(value)
            setattr(cfg, name, value)
        if name in _RANGES and isinstance(value, (int, float)):
            _check_range(name, value)
    _check_dtype(getattr(cfg, "dtype", torch.float32))
    _check_scaling(getattr(cfg, "rotary_scaling", None))


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
        return  # the config looks its name up, and checks again
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(
            f"dtype must be a floating-point type such as float32, bfloat16 or float64, not {shown(dtype)}."
        )


def _check_scaling(scaling: Mapping[str, Any] | None) -> None:
    for name, value in (scaling or {}).items():
        if (
            isinstance(value, numbers.Real)
            and not isinstance(value, bool)
            and not 0 < float(value) < math.inf
        ):
            raise ValueError(f"rotary_scaling: {name} must be a positive finite number, not {shown(value)}.")
