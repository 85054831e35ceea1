"""Fold norms into the weights that read them, and value biases into the output bias.

A norm followed by a linear map is (x̂ w + b) W + c, which equals x̂ (w W) + (b W + c): the same map with other weights.
After folding, the norm has no weights, and weight matrices read the normalized residual stream itself. A LayerNorm's x̂
also has mean 0, so the part of W that reads the mean can be removed. Source: Elhage et al. 2021, "Handling Layer
Normalization".

Attention patterns sum to 1, so b_V W_O is a constant term of a head's output and can be part of b_O. Source: Elhage et
al. 2021.
"""

from __future__ import annotations

import dataclasses

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing._editor import WeightEditor, untie

FOLDED = {"LN": "LNPre", "RMS": "RMSPre"}


def fold_layer_norm(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Fold every norm that a linear map reads: all of them or none, because the config has one normalization type.

    Norms of a sublayer's output, of the embedding, and of queries and keys stay: no linear map reads them.
    """
    obstacle = _obstacle(cfg, weights)
    if obstacle:
        return cfg, [obstacle]
    is_layer_norm = cfg.normalization_type == "LN"
    for layer in weights.layers(cfg):
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
    if weights.outside:
        cfg = untie(cfg, weights)
        _fold(weights, "ln_final", "unembed.W_U", "unembed.b_U", is_layer_norm and not cfg.final_rms)
        _drop_norm(weights, "ln_final")
    return dataclasses.replace(cfg, normalization_type=FOLDED[str(cfg.normalization_type)]), _notes(cfg)


def _fold(weights: WeightEditor, norm: str, matrix: str, bias: str | None, is_layer_norm: bool) -> None:
    """Fold one norm into one matrix [... in out] and its bias [... out]."""
    if bias is not None and f"{norm}.b" in weights:
        weights.edit(bias, _add_output_of_shift, f"{norm}.b", matrix, axes=(-1, None, -1))
    scale = _scale_and_centre_rows if is_layer_norm else _scale_rows
    weights.edit(matrix, scale, f"{norm}.w", axes=(-1, None))


def _add_output_of_shift(bias: torch.Tensor, shift: torch.Tensor, matrix: torch.Tensor) -> None:
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


def reads_other_blocks(cfg: HookedTransformerConfig) -> bool:
    """Whether the weights of one block decide if the norms of another can be folded."""
    return cfg.gated_mlp and not cfg.attn_only and cfg.normalization_type == "LN"


def _obstacle(cfg: HookedTransformerConfig, weights: WeightEditor) -> str:
    """The reason why this model's norms cannot be folded; empty if they can."""
    kind = cfg.normalization_type
    if kind is None:
        return "there are no norms to fold (normalization_type is None)."
    if kind not in FOLDED:
        return f"the norms are already folded (normalization_type is {kind!r})."
    if cfg.positional_embedding_type == "shortformer" and cfg.n_layers:
        return (
            "shortformer positions are added to the input of queries and keys after the norm, so its scale cannot "
            "move into W_Q and W_K without scaling the positions too."
        )
    if cfg.gated_mlp and not cfg.attn_only:
        if cfg.is_layer_norm_activation:
            return "the MLP's own LayerNorm is multiplied by the linear branch before W_out reads it."
        if kind == "LN" and cfg.norm_placement != "post":
            for layer in weights.layers(cfg):
                if bool(weights[f"blocks.{layer}.ln2.b"].any()):
                    return (
                        f"a gated MLP has no bias into which the shift blocks.{layer}.ln2.b could be folded."
                    )
    return ""


def _notes(cfg: HookedTransformerConfig) -> list[str]:
    """What was folded and what was kept, from the config before folding."""
    folded = []
    if cfg.n_layers and cfg.norm_placement != "post":
        folded.append("ln1 into W_Q, W_K and W_V")
        if not cfg.attn_only:
            folded.append("ln2 into W_in and W_gate" if cfg.gated_mlp else "ln2 into W_in")
    if cfg.n_layers and not cfg.attn_only and cfg.is_layer_norm_activation:
        folded.append("mlp.ln into W_out")
    notes = ["folded " + ", ".join([*folded, "ln_final into W_U"]) + "."]
    if cfg.normalization_type == "LN":
        notes.append("removed the part of those matrices that reads the mean, which is 0 after a LayerNorm.")
    kept = []
    if cfg.norm_placement != "pre":
        kept.append(
            "ln1_post and ln2_post (they are added to the residual stream; no weight matrix reads them)"
        )
    if cfg.post_embedding_ln:
        kept.append("embed.ln (it is added to the residual stream)")
    if cfg.qk_norm != "none":
        kept.append("q_norm and k_norm (no weight matrix reads them)")
    if kept:
        notes.append("kept " + ", ".join(kept) + ".")
    return notes


# Value biases --------------------------------------------------------------------------------------


def fold_value_biases(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Add Σ_heads b_V W_O to b_O, and set b_V to 0."""
    name = "b_V" if cfg.n_key_value_heads is None else "_b_V"
    folded = False
    for layer in weights.layers(cfg):
        b_V, W_O, b_O = (f"blocks.{layer}.attn.{part}" for part in (name, "W_O", "b_O"))
        if bool(weights[b_V].any()):
            weights.edit(b_O, _add_constant_output, b_V, W_O, axes=(-1, None, -1))
            weights.put(b_V, torch.zeros_like(weights[b_V]))
            folded = True
    return cfg, ["b_V is now 0."] if folded else ["every b_V is already 0."]


def _add_constant_output(b_O: torch.Tensor, b_V: torch.Tensor, W_O: torch.Tensor) -> None:
    """b_V is [kv_head d_head], W_O [head d_head d_model]; each key/value head serves a group of heads."""
    group_size = W_O.shape[0] // b_V.shape[0]
    by_head = b_V.repeat_interleave(group_size, dim=0)
    b_O.add_(by_head.flatten() @ W_O.flatten(0, 1))
