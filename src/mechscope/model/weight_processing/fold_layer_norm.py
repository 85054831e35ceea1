"""Move a norm's learned scale and shift into the weights that read it.

A norm followed by a linear map is (x̂ w + b) W + c, which is x̂ (w W) + (b W + c): the same map with
other weights. Afterwards the norm learns nothing, and what a weight matrix reads is the normalised
residual stream itself. A LayerNorm's x̂ also has mean 0, so the part of W that reads the mean can
be taken away. Source: Elhage et al. 2021, "Handling Layer Normalization".
"""

from __future__ import annotations

import dataclasses

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.editor import WeightEditor
from mechscope.model.weight_processing.unembedding import untie

FOLDED = {"LN": "LNPre", "RMS": "RMSPre"}


def fold_layer_norm(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Fold every norm that a linear map reads; all of them or none, because the config has one kind.

    Norms of a sublayer's output, of the embedding, and of queries and keys stay: nothing linear reads
    them next.
    """
    obstacle = _obstacle(cfg, weights)
    if obstacle:
        return cfg, [obstacle]
    is_layer_norm = cfg.normalization_type == "LN"
    for layer in range(cfg.n_layers):
        block = f"blocks.{layer}"
        if cfg.norm_placement != "post":
            for letter in "QKV":
                grouped = "_" if cfg.n_key_value_heads is not None and letter != "Q" else ""
                ends = f"attn.{grouped}W_{letter}", f"attn.{grouped}b_{letter}"
                _fold(weights, f"{block}.ln1", f"{block}.{ends[0]}", f"{block}.{ends[1]}", is_layer_norm)
            _drop_norm(weights, f"{block}.ln1")
            if not cfg.attn_only:
                bias = None if cfg.gated_mlp else f"{block}.mlp.b_in"
                _fold(weights, f"{block}.ln2", f"{block}.mlp.W_in", bias, is_layer_norm)
                if cfg.gated_mlp:
                    _fold(weights, f"{block}.ln2", f"{block}.mlp.W_gate", None, is_layer_norm)
                _drop_norm(weights, f"{block}.ln2")
        if not cfg.attn_only and cfg.is_layer_norm_activation:
            _fold(weights, f"{block}.mlp.ln", f"{block}.mlp.W_out", f"{block}.mlp.b_out", True)
            _drop_norm(weights, f"{block}.mlp.ln")
    cfg = untie(cfg, weights)
    _fold(weights, "ln_final", "unembed.W_U", "unembed.b_U", is_layer_norm and not cfg.final_rms)
    _drop_norm(weights, "ln_final")
    return dataclasses.replace(cfg, normalization_type=FOLDED[str(cfg.normalization_type)]), _notes(cfg)


def _fold(weights: WeightEditor, norm: str, matrix: str, bias: str | None, is_layer_norm: bool) -> None:
    """Fold one norm into one matrix [... in out] and its bias [... out]."""
    if bias is not None and f"{norm}.b" in weights:
        weights.edit(bias, _add_what_the_shift_gives, f"{norm}.b", matrix, axes=(-1, None, -1))
    scale = _scale_and_centre_rows if is_layer_norm else _scale_rows
    weights.edit(matrix, scale, f"{norm}.w", axes=(-1, None))


def _add_what_the_shift_gives(bias: torch.Tensor, shift: torch.Tensor, matrix: torch.Tensor) -> None:
    bias.add_(shift @ matrix)


def _scale_rows(matrix: torch.Tensor, scale: torch.Tensor) -> None:
    matrix.mul_(scale[:, None])


def _scale_and_centre_rows(matrix: torch.Tensor, scale: torch.Tensor) -> None:
    matrix.mul_(scale[:, None])
    matrix.sub_(matrix.mean(-2, keepdim=True))


def _drop_norm(weights: WeightEditor, norm: str) -> None:
    weights.drop(f"{norm}.w")
    if f"{norm}.b" in weights:
        weights.drop(f"{norm}.b")


def _obstacle(cfg: HookedTransformerConfig, weights: WeightEditor) -> str:
    """Why this model's norms cannot be folded, or nothing."""
    kind = cfg.normalization_type
    if kind is None:
        return "there are no norms to fold (normalization_type is None)."
    if kind not in FOLDED:
        return f"the norms are folded already (normalization_type is {kind!r})."
    if cfg.positional_embedding_type == "shortformer" and cfg.n_layers:
        return (
            "shortformer positions are added to queries' and keys' input after the norm, so its scale cannot "
            "move into W_Q and W_K without scaling them too."
        )
    if cfg.gated_mlp and not cfg.attn_only:
        if cfg.is_layer_norm_activation:
            return "the MLP's own LayerNorm is multiplied by the linear branch before W_out reads it."
        if kind == "LN" and cfg.norm_placement != "post":
            for layer in range(cfg.n_layers):
                if bool(weights[f"blocks.{layer}.ln2.b"].any()):
                    return f"a gated MLP has no bias that could take up the shift blocks.{layer}.ln2.b."
    return ""


def _notes(cfg: HookedTransformerConfig) -> list[str]:
    """What was folded and what was kept, for the config as it was."""
    folded = []
    if cfg.n_layers and cfg.norm_placement != "post":
        folded.append("ln1 into W_Q, W_K and W_V")
        if not cfg.attn_only:
            folded.append("ln2 into W_in and W_gate" if cfg.gated_mlp else "ln2 into W_in")
    if cfg.n_layers and not cfg.attn_only and cfg.is_layer_norm_activation:
        folded.append("mlp.ln into W_out")
    notes = ["folded " + ", ".join([*folded, "ln_final into W_U"]) + "."]
    if cfg.normalization_type == "LN":
        notes.append("took away what those matrices read of the mean, which a LayerNorm has made 0.")
    kept = []
    if cfg.norm_placement != "pre":
        kept.append("ln1_post and ln2_post (the residual stream reads them, no weight matrix does)")
    if cfg.post_embedding_ln:
        kept.append("embed.ln (the residual stream reads it)")
    if cfg.qk_norm != "none":
        kept.append("q_norm and k_norm (attention scores are not linear in them)")
    if kept:
        notes.append("kept " + ", ".join(kept) + ".")
    return notes
