"""Subtract means that have no effect on the model's predictions.

LayerNorm subtracts the mean of its input, so everything that is written to the residual stream can be given mean 0.
Softmax ignores a constant, so logits can be given mean 0.
"""

from __future__ import annotations

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing._editor import WeightEditor, untie


def center_writing_weights(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Subtract the mean over d_model from everything that is written to the residual stream."""
    obstacle = _obstacle_to_centring_writes(cfg)
    if obstacle:
        return cfg, [obstacle]
    notes = ["centred what embedding, attention and MLPs write."]
    # A tied unembedding has the same numbers, which must not change: its input may have a mean.
    cfg = untie(cfg, weights)
    if cfg.post_embedding_ln:
        notes.append("left W_E alone: embed.ln is between it and the residual stream.")
    elif weights.outside:
        _centre_last_axis(weights, "embed.W_E")
    if cfg.positional_embedding_type == "shortformer":
        notes.append("left W_pos alone: shortformer positions are not written to the residual stream.")
    elif cfg.positional_embedding_type == "standard" and weights.outside:
        _centre_last_axis(weights, "pos_embed.W_pos")
    for layer in weights.layers(cfg):
        ends = (
            ("attn.W_O", "attn.b_O") if cfg.attn_only else ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")
        )
        for end in ends:
            _centre_last_axis(weights, f"blocks.{layer}.{end}")
    return cfg, notes


def center_unembed(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Subtract the mean over the vocabulary from W_U and b_U: logits shift, probabilities stay the same."""
    if cfg.output_logits_soft_cap > 0:
        return cfg, ["the logits have a soft cap (a tanh), so a constant would change probabilities."]
    cfg = untie(cfg, weights)
    if weights.outside:
        _centre_last_axis(weights, "unembed.W_U")
        _centre_last_axis(weights, "unembed.b_U")
    return cfg, ["logits now have mean 0; log-probabilities are unchanged."]


def _centre_last_axis(weights: WeightEditor, name: str) -> None:
    # A vector is centred as a whole, so all of it must be compared.
    weights.edit(name, _subtract_mean, axes=(0 if weights[name].ndim > 1 else None,))


def _subtract_mean(tensor: torch.Tensor) -> None:
    tensor.sub_(tensor.mean(-1, keepdim=True))


def _obstacle_to_centring_writes(cfg: HookedTransformerConfig) -> str:
    if cfg.normalization_type is None:
        return "no norm subtracts the mean of the residual stream."
    if cfg.normalization_type.startswith("RMS"):
        return "RMS norms do not subtract the mean of the residual stream, so it has an effect."
    if cfg.final_rms:
        return "the final norm is RMS and does not subtract the mean of the residual stream."
    if cfg.norm_placement == "post":
        return "sublayers read the residual stream without a norm, so its mean has an effect."
    if cfg.norm_placement == "pre_and_post":
        return "the output of each sublayer is normalized before it is written, so no weights can be centred."
    return ""
