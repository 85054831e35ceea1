"""State dicts in the classic layout: `.pt` files of papers and courses, and the field's toy models.

Most of a config can be inferred from tensor shapes; the rest (the activation, whether missing norms are
absent or folded) has to be given.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch

from mechscope.checkpoints.classic_layout import classic_shapes
from mechscope.model.classic_state import drop_unused, weights_of
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.state_dict_check import check_state_dict, shapes_of
from mechscope.reading import naming

TOY_FIELDS = frozenset(
    {"d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "d_vocab_out", "act_fn",
     "attn_only", "final_rms", "eps", "attention_dir", "parallel_attn_mlp", "gated_mlp", "tokenizer_name"}
)  # fmt: skip
"""Fields that a toy model's config.json has in common with ours; the others describe its training."""


def is_classic(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a state dict uses the classic names."""
    return "embed.W_E" in state


def without_buffers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Only the weights, detached: classic files also contain the causal mask and its fill value."""
    return {name: tensor.detach() for name, tensor in weights_of(state).items()}


def fit_classic(
    state: Mapping[str, torch.Tensor],
    cfg: HookedTransformerConfig | Mapping[str, Any] | None,
    where: str,
) -> tuple[HookedTransformerConfig, dict[str, torch.Tensor]]:
    """A complete config for a classic state dict, and the matching state dict.

    `cfg` may be a config, or only the fields that cannot be inferred from shapes.

    Raises:
        ValueError: if a required field is missing, or the tensors do not fit the config.
    """
    state = without_buffers(state)
    if not isinstance(cfg, HookedTransformerConfig):
        with naming(where):
            cfg = infer_config(state, **(cfg or {}))
    state = dict(drop_unused(state, cfg))
    shapes = classic_shapes(cfg)
    if "unembed.b_U" not in state:
        state["unembed.b_U"] = torch.zeros(shapes["unembed.b_U"], dtype=_dtype_of(state))
    check_state_dict(shapes_of(state), shapes, what=f"the tensors of {where}")
    return cfg, state


def _dtype_of(state: Mapping[str, torch.Tensor]) -> torch.dtype:
    """The data type of the embedding, or of any tensor if there is no embedding (which is an error later)."""
    return state["embed.W_E"].dtype if "embed.W_E" in state else torch.float32


def infer_config(state: Mapping[str, torch.Tensor], **given: Any) -> HookedTransformerConfig:
    """Infer a config from the shapes of a classic state dict; given fields take precedence.

    Raises:
        ValueError: if fields must be given; names them.
    """
    if not is_classic(state):
        shown = ", ".join(list(state)[:6])
        raise ValueError(f"these tensors are not in the classic layout (no embed.W_E): {shown}, …")
    fields = _shape_fields(state) | given
    if "normalization_type" not in fields:
        raise ValueError(
            "this state dict has no norm weights: give normalization_type='LNPre' (or 'RMSPre') if they were "
            "folded into the weights, or normalization_type=None if the model has no norms."
        )
    if not fields["attn_only"] and "act_fn" not in fields:
        raise ValueError(
            "the activation cannot be inferred from shapes: give act_fn, for example 'relu' or 'gelu'."
        )
    if "n_ctx" not in fields:
        raise ValueError(
            "this state dict has no position table: give positional_embedding_type ('rotary', 'alibi' or "
            "'none') and n_ctx."
        )
    return HookedTransformerConfig.from_dict(fields)


_AXES = {"embed.W_E": 2, "pos_embed.W_pos": 2, "unembed.W_U": 2, "blocks.0.attn.W_Q": 3, "blocks.0.attn._W_K": 3,
         "blocks.0.mlp.W_in": 2, "blocks.0.attn.q_norm.w": 1}  # fmt: skip
"""The number of axes of each tensor from which the config is inferred."""


def _shape_fields(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    strange = [
        name for name in state if name.startswith("blocks.") and not re.match(r"blocks\.\d{1,6}\.", name)
    ]
    if strange:
        raise ValueError(
            f"the tensor {strange[0]!r} belongs to no block: names must be blocks.0.…, blocks.1.… ."
        )
    for name, axes in _AXES.items():
        if name in state and state[name].ndim != axes:
            raise ValueError(f"{name} has {state[name].ndim} axes, but should have {axes}.")
    blocks = {int(name.split(".")[1]) for name in state if name.startswith("blocks.")}
    first = {name.removeprefix("blocks.0."): tensor for name, tensor in state.items()
             if name.startswith("blocks.0.")}  # fmt: skip
    d_vocab, d_model = state["embed.W_E"].shape
    fields: dict[str, Any] = {"n_layers": len(blocks), "d_vocab": d_vocab, "d_model": d_model}
    if (query := first.get("attn.W_Q")) is not None:
        fields |= {"n_heads": query.shape[0], "d_head": query.shape[2]}
    if (key := first.get("attn._W_K")) is not None:
        fields["n_key_value_heads"] = key.shape[0]
    fields["attn_only"] = "mlp.W_in" not in first
    if not fields["attn_only"]:
        fields |= {"d_mlp": first["mlp.W_in"].shape[1], "gated_mlp": "mlp.W_gate" in first}
    if (positions := state.get("pos_embed.W_pos")) is not None:
        fields["n_ctx"] = positions.shape[0]
    if "ln1.w" in first or "ln1_post.w" in first:
        has_shift = "ln1.b" in first or "ln1_post.b" in first
        fields["normalization_type"] = "LN" if has_shift else "RMS"
        fields["final_rms"] = "ln_final.w" in state and "ln_final.b" not in state
    if "ln1_post.w" in first:
        fields["norm_placement"] = "pre_and_post" if "ln1.w" in first else "post"
    if (norm := first.get("attn.q_norm.w")) is not None and "d_head" in fields:
        fields["qk_norm"] = "per_head" if norm.shape[0] == fields["d_head"] else "full"
    fields["post_embedding_ln"] = "embed.ln.w" in state
    if (unembedding := state.get("unembed.W_U")) is not None:
        fields["d_vocab_out"] = unembedding.shape[1]
    else:
        fields["tie_word_embeddings"] = True
    return fields


def is_toy_config(fields: Mapping[str, Any]) -> bool:
    """Whether a config.json belongs to a toy model on the hub."""
    return "model_type" not in fields and {"d_model", "n_layers", "n_heads", "n_ctx"} <= fields.keys()


def toy_config(fields: Mapping[str, Any], name: str, where: str = "config.json") -> HookedTransformerConfig:
    """Convert a toy model's config to ours.

    Args:
        where: the file, for errors.

    Raises:
        ValueError: for values that a config refuses.
    """
    normalization = fields.get("normalization_type", fields.get("normalization", "LN"))
    shared = {key: fields[key] for key in TOY_FIELDS & fields.keys()}
    shortformer = fields.get("shortformer_pos") or False
    if not isinstance(shortformer, bool):
        raise ValueError(f"{where}: shortformer_pos must be true or false, not {shortformer!r}.")
    with naming(where):
        cfg = HookedTransformerConfig.from_dict(
            {
                **shared,
                "normalization_type": normalization,
                "positional_embedding_type": "shortformer" if shortformer else "standard",
                "model_name": name,
                "original_architecture": "toy",
            }
        )
    return dataclasses.replace(cfg, d_mlp=None) if cfg.attn_only else cfg
