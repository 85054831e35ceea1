"""A Hugging Face `config.json` written by any version of transformers.

Version 5 moved the rotary settings into `rope_parameters` and lists the type of every layer in
`layer_types`; earlier files have `rope_theta`, `rope_scaling`, `partial_rotary_factor` and a period.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mechscope.checkpoints.adapters.field_kinds import check_fields

SUPPORTED_ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_fast",
    "gelu_pytorch_tanh": "gelu_pytorch_tanh",
    "silu": "silu",
    "swish": "silu",
}


class HfConfig:
    """Fields by name; null counts as absent, and reading a missing required field raises an error.

    Raises:
        ValueError: for values of the wrong kind.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        fields = dict(fields)
        if isinstance(text := fields.get("text_config"), Mapping):
            # A model with a vision tower nests the settings of its language model one level down.
            outer = {name: value for name, value in fields.items() if not isinstance(value, Mapping)}
            fields = {**outer, **text, "architectures": fields.get("architectures")}
        check_fields(fields)
        self.fields = fields

    def get(self, name: str, default: Any = None) -> Any:
        value = self.fields.get(name)
        return default if value is None else value

    def __getitem__(self, name: str) -> Any:
        value = self.fields.get(name)
        if value is None:
            raise ValueError(
                f"config.json of this {self.get('model_type', 'unknown')!r} model has no {name!r}, which is "
                f"needed. It has: {', '.join(sorted(self.fields))}."
            )
        return value

    def __contains__(self, name: str) -> bool:
        return self.fields.get(name) is not None


@dataclass(frozen=True)
class Rope:
    """Rotary positions of a layer."""

    base: float
    scaling: dict[str, Any] | None
    fraction: float
    """The fraction of a head's dimensions that rotates."""


def rope(
    config: HfConfig,
    *,
    layer_type: str | None = None,
    base: float = 10_000.0,
    fraction: float = 1.0,
    base_field: str = "rope_theta",
    fraction_field: str = "partial_rotary_factor",
) -> Rope:
    """The rotary settings, from either layout.

    Raises:
        ValueError: for an unsupported scaling.
    """
    described: dict[str, Any] = dict(config.get("rope_parameters", {}))
    if any(isinstance(value, Mapping) for value in described.values()):
        described = dict(described.get(layer_type or "full_attention", {}))
    scaling: dict[str, Any] = (
        described if "rope_parameters" in config else dict(config.get("rope_scaling", {}))
    )
    return Rope(
        base=float(described.get("rope_theta") or config.get(base_field) or base),
        scaling=_scaling(scaling, config),
        fraction=float(described.get("partial_rotary_factor") or config.get(fraction_field) or fraction),
    )


def _scaling(described: Mapping[str, Any], config: HfConfig) -> dict[str, Any] | None:
    kind = described.get("rope_type") or described.get("type") or "default"
    if kind == "default":
        return None
    if kind == "linear":
        return {"type": "linear", "factor": float(described["factor"])}
    if kind == "llama3":
        numbers = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        return {"type": "llama3", **{name: described[name] for name in numbers}}
    if kind == "yarn":
        return _yarn(described, config)
    if kind == "dynamic":
        return {
            "type": "dynamic",
            "factor": float(described["factor"]),
            "original_max_position_embeddings": config["max_position_embeddings"],
        }
    raise ValueError(
        f"this checkpoint scales its rotary positions by {kind!r}, which mechscope does not compute (it has "
        "default, linear, llama3, yarn and dynamic), so its attention would be wrong."
    )


def _yarn(described: Mapping[str, Any], config: HfConfig) -> dict[str, Any]:
    name_of_original = "original_max_position_embeddings"
    original = (
        config.get(name_of_original) or described.get(name_of_original) or config["max_position_embeddings"]
    )
    factor = float(described.get("factor") or config["max_position_embeddings"] / original)
    scaling = {"type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    for name in ("beta_fast", "beta_slow"):
        if described.get(name):
            scaling[name] = float(described[name])
    if described.get("truncate") is not None:
        scaling["truncate"] = described["truncate"]
    given, above, below = (described.get(name) for name in ("attention_factor", "mscale", "mscale_all_dim"))
    if given is not None:
        scaling["attention_factor"] = float(given)
    elif above and below and factor > 1:
        grown = math.log(factor) * 0.1
        scaling["attention_factor"] = (above * grown + 1.0) / (below * grown + 1.0)
    return scaling


def context_length(config: HfConfig) -> int:
    """The context length: `max_position_embeddings`, or the longer context after YaRN or dynamic scaling."""
    length: int = config["max_position_embeddings"]
    scaling = rope(config).scaling
    if scaling is not None and scaling["type"] in ("yarn", "dynamic"):
        length = max(length, int(scaling["factor"] * scaling["original_max_position_embeddings"]))
    return length


def rotary_dim(config: HfConfig, found: Rope) -> int:
    """The number of leading dimensions of a head that rotate."""
    return int(head_width(config) * found.fraction)


def head_width(config: HfConfig) -> int:
    """`head_dim`, or else the width divided by the number of heads."""
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def activation(*names: str) -> Callable[[HfConfig], str]:
    """The activation named by the first of these fields that is present.

    Raises (when read):
        ValueError: for an unsupported activation.
    """

    def read(config: HfConfig) -> str:
        name = next((config.get(name) for name in names if name in config), None) or config[names[0]]
        if name not in SUPPORTED_ACTIVATIONS:
            raise ValueError(
                f"this checkpoint's activation is {name!r}; mechscope has {', '.join(SUPPORTED_ACTIVATIONS)}."
            )
        return SUPPORTED_ACTIVATIONS[name]

    return read


def layer_kinds(config: HfConfig, is_local: Callable[[int], bool]) -> list[str]:
    """ "global" or "local" for each layer: from `layer_types`, or by the family's rule `is_local(layer)`.

    Raises:
        ValueError: for a type of layer that is neither.
    """
    n_layers = config["num_hidden_layers"]
    named = config.get("layer_types") or [
        "sliding_attention" if is_local(layer) else "full_attention" for layer in range(n_layers)
    ]
    known = {"full_attention": "global", "sliding_attention": "local"}
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise ValueError(
            f"this checkpoint has layers of type {', '.join(unknown)}; mechscope supports {', '.join(known)}."
        )
    return [known[kind] for kind in named]
