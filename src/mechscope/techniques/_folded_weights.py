"""Weights with the learned scales of norms folded in, so that their products are meaningful.

For a model that was loaded with folded norms these are its own weights. For others (norms that cannot be folded,
weights as trained) the scale of each norm is multiplied into the weights that read it, or, if a block normalises the
outputs of its sublayers, into the weights that write. The divisor of a norm, which depends on the token, is omitted.
All weights are float32 or float64, whatever the model's type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int

from mechscope.model.precision import at_least_float32

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Embedding = Literal["embed", "mlp0"]


def reading_scale(norm: Any) -> torch.Tensor | None:
    """The learned scale of a norm [d_model]; None if it has none."""
    return getattr(norm, "w", None)


def centred(norm: Any) -> bool:
    """Whether a norm subtracts the mean of its input."""
    return bool(getattr(norm, "centre", False))


def read_weight(
    model: HookedTransformer, layer: int, name: Literal["W_Q", "W_K", "W_V"]
) -> Float[torch.Tensor, "head d_model d_head"]:
    """W_Q, W_K or W_V of a layer as it reads the residual stream, one slice per query head."""
    block = model.blocks[layer]
    weight = at_least_float32(getattr(block.attn, name).detach())
    scale = reading_scale(block.ln1)
    weight = weight if scale is None else scale.detach()[:, None] * weight
    # The norm subtracts the mean, so a weight reads nothing along that direction.
    return weight - weight.mean(-2, keepdim=True) if centred(block.ln1) else weight


def read_mlp_weight(
    model: HookedTransformer, layer: int, name: Literal["W_in", "W_gate"] = "W_in"
) -> Float[torch.Tensor, "d_model d_mlp"]:
    """An MLP's input weights as they read the residual stream.

    Raises:
        ValueError: if the model has no such weights.
    """
    block = model.blocks[layer]
    if model.cfg.attn_only or not hasattr(block.mlp, name):
        raise ValueError(
            f"this model has no {name}: " + ("it is attention-only." if model.cfg.attn_only else "")
        )
    weight = at_least_float32(getattr(block.mlp, name).detach())
    scale = reading_scale(block.ln2)
    weight = weight if scale is None else scale.detach()[:, None] * weight
    return weight - weight.mean(-2, keepdim=True) if centred(block.ln2) else weight


def written(model: HookedTransformer, layer: int, part: Literal["attn", "mlp"], weight: Any) -> torch.Tensor:
    """Output weights [... d_model] of a sublayer as they write to the residual stream."""
    norm = getattr(model.blocks[layer], "ln1_post" if part == "attn" else "ln2_post")
    if norm is None:
        return at_least_float32(weight.detach())
    weight = at_least_float32(weight.detach())
    if centred(norm):
        weight = weight - weight.mean(-1, keepdim=True)
    return weight if norm.w is None else weight * norm.w.detach()


def write_weight(model: HookedTransformer, layer: int) -> Float[torch.Tensor, "head d_head d_model"]:
    """W_O of a layer as it writes to the residual stream."""
    return written(model, layer, "attn", model.blocks[layer].attn.W_O)


def unembedding(model: HookedTransformer) -> Float[torch.Tensor, "d_model d_vocab"]:
    """W_U as it reads the residual stream, minus its mean over the vocabulary, which a softmax ignores."""
    weight = at_least_float32(model.W_U.detach())
    scale = reading_scale(model.ln_final)
    weight = weight if scale is None else scale.detach()[:, None] * weight
    if centred(model.ln_final):
        weight = weight - weight.mean(-2, keepdim=True)
    return weight - weight.mean(-1, keepdim=True)


def embedding(
    model: HookedTransformer,
    tokens: Int[torch.Tensor, " token"] | None = None,
    through: Embedding = "embed",
) -> Float[torch.Tensor, "token d_model"]:
    """The residual stream of each token before any attention [token d_model].

    Args:
        model: the model.
        tokens: which tokens; None for the whole vocabulary.
        through: "embed" for the embedding alone; "mlp0" adds the output of block 0's MLP, because in models with tied
            embeddings the first MLP does part of the embedding's work (Wang et al. 2022, section 3).

    Raises:
        ValueError: for "mlp0" in an attention-only model, or another name.
    """
    if through not in ("embed", "mlp0"):
        raise ValueError(f"through must be 'embed' or 'mlp0', not {through!r}.")
    if through == "mlp0" and model.cfg.attn_only:
        raise ValueError("this model is attention-only and has no MLP; use 'embed'.")
    if tokens is None:
        tokens = torch.arange(model.cfg.d_vocab, device=model.cfg.device)
    with torch.no_grad():
        embedded = model.embed(tokens[None].to(model.cfg.device))
        if through == "mlp0":
            embedded = embedded + model.blocks[0].mlp_output(embedded)
    return at_least_float32(embedded[0].detach())
