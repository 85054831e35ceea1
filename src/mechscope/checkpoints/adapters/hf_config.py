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


_WITHOUT_EFFECT = """
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal _commit_hash _name_or_path
    _num_labels _output_attentions architectures attention_dropout attention_probs_dropout_prob
    attention_softmax_in_fp32 attention_types attn_implementation attn_pdrop auto_map bad_words_ids
    begin_suppress_tokens bias_dropout_fusion boi_token_id boi_token_index bos_token_id cache_implementation
    chunk_size_feed_forward classifier_dropout classifier_dropout_prob decoder_start_token_id directionality
    diversity_penalty do_sample dropout dtype early_stopping embd_pdrop embed_dropout embedding_dropout
    encoder_no_repeat_ngram_size eoi_token_id eoi_token_index eos_token_id exponential_decay_length_penalty
    ffn_dropout finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing hidden_dropout
    hidden_dropout_prob id2label image_token_id image_token_index init_std initializer_range is_decoder
    keys_to_ignore_at_inference label2id layer_types layerdrop length_penalty masked_softmax_fusion max_length
    max_window_layers min_length mm_tokens_per_image model_type n_ctx n_special no_repeat_ngram_size
    num_beam_groups num_beams num_labels num_return_sequences original_max_position_embeddings
    output_attentions output_hidden_states output_past output_scores pad_token_id predict_special_tokens
    prefix pretraining_tp problem_type reorder_and_upcast_attn repetition_penalty resid_dropout resid_pdrop
    return_dict return_dict_in_generate rotary sep_token_id sliding_window slow_but_exact summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj suppress_tokens
    task_specific_params temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p
    torch_dtype torchscript transformers_version type_vocab_size typical_p unk_token_id use_bfloat16 use_cache
    vision_feature_select_strategy
"""
WITHOUT_EFFECT = frozenset(_WITHOUT_EFFECT.split())
"""Fields that do not change the predictions of trained weights: dropout, initial weights, heads for other tasks, how
text is generated, ids that the tokenizer also has, and the order of roundings. (`layer_types`, `sliding_window`,
`max_window_layers`, `attention_types` and `original_max_position_embeddings` matter only if another field says so, and
are then read.)"""


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
        self.asked: set[str] = set()
        """Fields that were read."""

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        value = self.fields.get(name)
        return default if value is None else value

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        value = self.fields.get(name)
        if value is None:
            raise ValueError(
                f"config.json of this {self.get('model_type', 'unknown')!r} model has no {name!r}, which is "
                f"needed. It has: {', '.join(sorted(self.fields))}."
            )
        return value

    def __contains__(self, name: str) -> bool:
        self.asked.add(name)
        return self.fields.get(name) is not None

    def unread(self) -> list[str]:
        """Fields that are set (not null, false or empty), were not read, and may change a prediction."""
        return [
            name
            for name, value in self.fields.items()
            if name not in self.asked and name not in WITHOUT_EFFECT and value not in (None, False, [], {})
        ]


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
