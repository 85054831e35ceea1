"""Make a classic state dict fit a config: fill in entries that may be missing, and drop extra ones."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping

import torch

from mechscope.model.classic_state import weights_of
from mechscope.model.config import HookedTransformerConfig

UNFOLDED = {"LNPre": "LN", "RMSPre": "RMS"}
FOLDED = {whole: folded for folded, whole in UNFOLDED.items()}


def complete_state_dict(
    cfg: HookedTransformerConfig,
    state_dict: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    fold_ln: bool = True,
) -> tuple[HookedTransformerConfig, dict[str, torch.Tensor]]:
    """A config and weights that fit each other, for processing.

    - If the config has folded norms but the weights have scales and shifts, these are folded; with `fold_ln=False` they
      are dropped, with a warning, because that changes the model's output.
    - If the config has norms but the weights have none, they were folded before they were saved.
    - Missing biases are the model's own.
    - Buffers and unused position embeddings are dropped.

    Args:
        cfg: the model's config.
        state_dict: the weights to complete.
        own: the model's own tensors.
        fold_ln: whether norms will be folded.
    """
    state: dict[str, torch.Tensor] = dict(weights_of(state_dict))
    if cfg.positional_embedding_type not in ("standard", "shortformer"):
        state.pop("pos_embed.W_pos", None)
    cfg, state = _match_norms(cfg, state, fold_ln)
    for name, value in own.items():
        if name not in state and name.rpartition(".")[2].lstrip("_").startswith("b_"):
            state[name] = value
    return cfg, state


def _match_norms(
    cfg: HookedTransformerConfig, state: dict[str, torch.Tensor], fold_ln: bool
) -> tuple[HookedTransformerConfig, dict[str, torch.Tensor]]:
    kind = cfg.normalization_type
    norms = list(foldable_norms(cfg))
    held = [name for norm in norms for name in (f"{norm}.w", f"{norm}.b") if name in state]
    if kind in FOLDED:
        if held or not norms:
            return cfg, state
        if fold_ln:
            return dataclasses.replace(cfg, normalization_type=FOLDED[kind]), state
        return cfg, {**state, **identity_norms(cfg, state)}
    if not held:
        return cfg, state
    if kind in UNFOLDED and fold_ln:
        whole = dataclasses.replace(cfg, normalization_type=UNFOLDED[kind])
        return whole, {**identity_norms(whole, state), **state}
    why = (
        "the config has no norms (normalization_type=None)"
        if kind is None
        else f"the norms of the config are folded ({kind}) and fold_ln=False does not fold these"
    )
    warnings.warn(
        f"{len(held)} scales and shifts of norms ({held[0]} …) are dropped, because {why}; this changes the model's "
        "output.",
        stacklevel=4,
    )
    return cfg, {name: value for name, value in state.items() if name not in held}


def foldable_norms(cfg: HookedTransformerConfig) -> Iterator[str]:
    """The names of the norms that `fold_ln` folds."""
    for layer in range(cfg.n_layers):
        if cfg.norm_placement != "post":
            yield f"blocks.{layer}.ln1"
            if not cfg.attn_only:
                yield f"blocks.{layer}.ln2"
        if not cfg.attn_only and cfg.is_layer_norm_activation:
            yield f"blocks.{layer}.mlp.ln"
    yield "ln_final"


def identity_norms(
    cfg: HookedTransformerConfig, state: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Scales of 1 and shifts of 0 for every norm that `fold_ln` folds, for a config with norms that are not folded."""
    like = state["embed.W_E"]
    found: dict[str, torch.Tensor] = {}
    for norm in foldable_norms(cfg):
        length = cfg.d_mlp if norm.endswith("mlp.ln") else cfg.d_model
        assert length is not None
        found[f"{norm}.w"] = like.new_ones(length)
        is_rms = cfg.normalization_type == "RMS" and not norm.endswith("mlp.ln")
        if not (is_rms or (norm == "ln_final" and cfg.final_rms)):
            found[f"{norm}.b"] = like.new_zeros(length)
    return found
