"""Translate fields of the classic config that our config names differently or does not have.

Each field is either used, refused, or one of the few that have no effect here.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Config = TypeVar("Config", bound=type)

# Field → its default in a classic config.
CLASSIC_FIELDS: dict[str, Any] = {
    "use_local_attn": False,
    "use_qk_norm": False,
    "use_normalization_before_and_after": False,
    "rotary_scaling_factor": 1.0,
    "use_NTK_by_parts_rope": False,
    "NTK_by_parts_low_freq_factor": 1.0,
    "NTK_by_parts_high_freq_factor": 4.0,
    "NTK_by_parts_factor": 8.0,
    "NTK_original_ctx_len": 8192,
    "use_yarn_rope": False,
    "yarn_factor": 1.0,
    "yarn_attention_factor": 1.0,
    "yarn_beta_fast": 32.0,
    "yarn_beta_slow": 1.0,
    "yarn_original_max_position_embeddings": 4096,
    "load_in_4bit": False,
    "num_experts": None,
    "experts_per_token": None,
    "norm_topk_prob": False,
    "relative_attention_max_distance": None,
    "relative_attention_num_buckets": None,
    "decoder_start_token_id": None,
    "n_devices": 1,
    "trust_remote_code": False,
    "n_params": None,
    "from_checkpoint": False,
    "ungroup_grouped_query_attention": False,
    "uses_rms_norm": False,
    "layer_norm_folding": False,
}

# Unsupported features: a value that requests one is an error.
REFUSED = {
    "load_in_4bit": "weights of 4 bits are not supported; load the model in float16 or bfloat16",
    "num_experts": "mixtures of experts are not supported",
    "experts_per_token": "mixtures of experts are not supported",
    "relative_attention_max_distance": "T5's relative positions are not supported",
    "relative_attention_num_buckets": "T5's relative positions are not supported",
    "decoder_start_token_id": "encoder-decoder models are not supported",
    "ungroup_grouped_query_attention": "call set_ungroup_grouped_query_attention(True) on the model once it has its "
    "weights",
}
# Requests that cannot be fulfilled but change no prediction: each causes a warning.
WITHOUT_EFFECT = {
    "n_devices": "a model is on one device (cfg.device); move it with model.to(…)",
    "trust_remote_code": "code that comes with a checkpoint is never run",
    "norm_topk_prob": "it belongs to mixtures of experts, which are not supported",
    "layer_norm_folding": "fold the norms with model.process_weights_(fold_ln=True), or see normalization_type",
}
# Architectures whose norms the classic code places by name instead of by a field.
PLACED_BY_NAME = ("Olmo2ForCausalLM", "Olmo3ForCausalLM", "OlmoeForCausalLM")


def translate_classic_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of our config, from a mapping that may hold classic fields.

    Raises:
        ValueError: for a classic field that requests an unsupported feature, or that contradicts one of
            ours.
    """
    classic = {name: fields[name] for name in CLASSIC_FIELDS if name in fields}
    ours = {name: value for name, value in fields.items() if name not in CLASSIC_FIELDS}
    for name, why in REFUSED.items():
        if classic.get(name, CLASSIC_FIELDS[name]) != CLASSIC_FIELDS[name]:
            raise ValueError(f"{name}={classic[name]!r}: {why}.")
    for name, why in WITHOUT_EFFECT.items():
        if classic.get(name, CLASSIC_FIELDS[name]) not in (CLASSIC_FIELDS[name], None):
            warnings.warn(f"{name}={classic[name]!r} has no effect: {why}.", stacklevel=4)
    if classic.get("uses_rms_norm") and not str(ours.get("normalization_type", "LN")).startswith("RMS"):
        raise ValueError(
            f"uses_rms_norm=True contradicts normalization_type={ours.get('normalization_type', 'LN')!r}: set "
            "normalization_type='RMS'."
        )
    if classic.get("from_checkpoint") and not (
        {"checkpoint_index", "checkpoint_value"} & {name for name, value in ours.items() if value is not None}
    ):
        raise ValueError(
            "from_checkpoint=True does not say which checkpoint: give checkpoint_index or checkpoint_value instead."
        )
    is_complete = "use_local_attn" in classic and "use_qk_norm" in classic
    if (
        is_complete
        and fields.get("original_architecture") in PLACED_BY_NAME
        and "norm_placement" not in fields
    ):
        raise ValueError(
            f"a classic config of {fields['original_architecture']} does not specify where its norms are; load the "
            "checkpoint with load_model, which does."
        )
    if classic.get("use_local_attn") is False:
        # The classic model then ignores both.
        ours |= {name: None for name in ("attn_types", "window_size") if name in ours}
    if classic.get("use_local_attn") and ours.get("attn_types") is None:
        raise ValueError("use_local_attn needs attn_types: 'global' or 'local' for each layer.")
    if classic.get("use_qk_norm"):
        _set_field(ours, "qk_norm", "per_head", "use_qk_norm")
    if classic.get("use_normalization_before_and_after"):
        _set_field(ours, "norm_placement", "pre_and_post", "use_normalization_before_and_after")
    scaling = _rotary_scaling(classic)
    if scaling is not None:
        _set_field(ours, "rotary_scaling", scaling, "the classic scaling of rotary positions")
    return ours


def _set_field(ours: dict[str, Any], name: str, value: Any, classic_name: str) -> None:
    if ours.get(name, value) not in (value, None, "none", "pre"):
        raise ValueError(f"{name}={ours[name]!r} contradicts {classic_name}={value!r}.")
    ours[name] = value


# The classic switch of a scaling → our type of scaling, and classic field → our key.
_SCALINGS: dict[str, tuple[str, dict[str, str]]] = {
    "use_NTK_by_parts_rope": (
        "llama3",
        {
            "NTK_by_parts_factor": "factor",
            "NTK_by_parts_low_freq_factor": "low_freq_factor",
            "NTK_by_parts_high_freq_factor": "high_freq_factor",
            "NTK_original_ctx_len": "original_max_position_embeddings",
        },
    ),
    "use_yarn_rope": (
        "yarn",
        {
            "yarn_factor": "factor",
            "yarn_attention_factor": "attention_factor",
            "yarn_beta_fast": "beta_fast",
            "yarn_beta_slow": "beta_slow",
            "yarn_original_max_position_embeddings": "original_max_position_embeddings",
        },
    ),
}


def _rotary_scaling(classic: Mapping[str, Any]) -> dict[str, Any] | None:
    for switch, (kind, parts) in _SCALINGS.items():
        if classic.get(switch):
            values = {ours: classic.get(name, CLASSIC_FIELDS[name]) for name, ours in parts.items()}
            return {"type": kind, **values}
    factor = classic.get("rotary_scaling_factor", 1.0)
    return None if factor == 1.0 else {"type": "linear", "factor": factor}


def _field_value(config: Any, name: str) -> Any:
    """The value of a classic field in our config: an entry of `rotary_scaling`, or the classic default."""
    scaling = config.rotary_scaling or {}
    for switch, (kind, parts) in _SCALINGS.items():
        if name == switch:
            return scaling.get("type") == kind
        if name in parts and scaling.get("type") == kind:
            return scaling.get(parts[name], CLASSIC_FIELDS[name])
    return CLASSIC_FIELDS[name]


def accept_classic_fields(config: Config) -> Config:
    """Decorate a config class so that it accepts classic fields, and has them as properties.

    An example is `HookedTransformerConfig(use_qk_norm=True, …)`.
    """
    for name in CLASSIC_FIELDS:
        if name not in vars(config):
            setattr(config, name, property(functools.partial(_field_value, name=name)))
    plain: Callable[..., None] = config.__init__  # type: ignore[misc]

    @functools.wraps(plain)
    def init(self: Any, *args: Any, **fields: Any) -> None:
        plain(self, *args, **translate_classic_fields(fields))

    own = inspect.signature(plain)
    classic = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in CLASSIC_FIELDS.items()
    ]
    init.__signature__ = own.replace(parameters=[*own.parameters.values(), *classic])  # type: ignore[attr-defined]
    config.__init__ = init  # type: ignore[misc]
    return config
