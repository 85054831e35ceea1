"""Take away what no reader of the weights can see: means.

LayerNorm subtracts the mean of what it reads, so a write to the residual stream may be made to have
mean 0; softmax ignores a constant, so logits may be made to have mean 0.
"""

from __future__ import annotations

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.editor import WeightEditor
from mechscope.model.weight_processing.unembedding import untie


def center_writing_weights(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Subtract its mean over d_model from all that is written to the residual stream."""
    obstacle = _obstacle_to_centring_writes(cfg)
    if obstacle:
        return cfg, [obstacle]
    notes = ["centred what embedding, attention and MLPs write."]
    # A tied unembedding reads with the same numbers, and what it reads may have a mean.
    cfg = untie(cfg, weights)
    if cfg.post_embedding_ln:
        notes.append("left W_E alone: embed.ln stands between it and the residual stream.")
    else:
        _centre_last_axis(weights, "embed.W_E")
    if cfg.positional_embedding_type == "standard":
        _centre_last_axis(weights, "pos_embed.W_pos")
    elif cfg.positional_embedding_type == "shortformer":
        notes.append("left W_pos alone: shortformer positions are not written to the residual stream.")
    for layer in range(cfg.n_layers):
        ends = (
            ("attn.W_O", "attn.b_O") if cfg.attn_only else ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")
        )
        for end in ends:
            _centre_last_axis(weights, f"blocks.{layer}.{end}")
    return cfg, notes


def center_unembed(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Subtract from W_U and b_U their mean over the vocabulary: logits shift, probabilities stay."""
    if cfg.output_logits_soft_cap > 0:
        return cfg, ["the logits' soft cap (a tanh) does not let a constant through unchanged."]
    cfg = untie(cfg, weights)
    _centre_last_axis(weights, "unembed.W_U")
    _centre_last_axis(weights, "unembed.b_U")
    return cfg, ["logits now have mean 0; log-probabilities are what they were."]


def _centre_last_axis(weights: WeightEditor, name: str) -> None:
    # A vector is centred as a whole, so all of it must be compared.
    weights.edit(name, _subtract_mean, axes=(0 if weights[name].ndim > 1 else None,))


def _subtract_mean(tensor: torch.Tensor) -> None:
    tensor.sub_(tensor.mean(-1, keepdim=True))


def _obstacle_to_centring_writes(cfg: HookedTransformerConfig) -> str:
    if cfg.normalization_type is None:
        return "no norm subtracts the mean of the residual stream."
    if cfg.normalization_type.startswith("RMS"):
        return "RMS norms do not subtract the mean of the residual stream, so it matters."
    if cfg.final_rms:
        return "the final norm is RMS and does not subtract the mean of the residual stream."
    if cfg.norm_placement == "post":
        return "sublayers read the residual stream itself, mean included."
    if cfg.norm_placement == "pre_and_post":
        return "what sublayers write is normed first and has no weights that could be centred."
    return ""
