"""Weights with the norms' learned scales multiplied in, so that products of them mean what they say.

A model that was loaded with folded norms gives its own weights back. Others (norms that cannot be folded,
weights as trained) get the scale of each norm in what reads it, or, where a block norms its sublayers'
outputs, in what it writes. The part that depends on the token, a norm's divisor, is omitted. All are
float32 or float64, whatever the model's own type.
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
    """The learned scale [d_model] of a norm that reads the stream; None where there is none."""
    return getattr(norm, "w", None)


def centred(norm: Any) -> bool:
    """Whether a norm takes the mean out of what it reads."""
    return bool(getattr(norm, "centre", False))


def read_weight(
    model: HookedTransformer, layer: int, name: Literal["W_Q", "W_K", "W_V"]
) -> Float[torch.Tensor, "head d_model d_head"]:
    """W_Q, W_K or W_V of a layer as it reads the residual stream, one slice a query head."""
    block = model.blocks[layer]
    weight = at_least_float32(getattr(block.attn, name).detach())
    scale = reading_scale(block.ln1)
    weight = weight if scale is None else scale.detach()[:, None] * weight
    # The norm takes out the mean of what it reads, so a weight reads nothing along that direction.
    return weight - weight.mean(-2, keepdim=True) if centred(block.ln1) else weight


def read_mlp_weight(
    model: HookedTransformer, layer: int, name: Literal["W_in", "W_gate"] = "W_in"
) -> Float[torch.Tensor, "d_model d_mlp"]:
    """An MLP's input weights as they read the residual stream.

    Raises:
        ValueError: where the model has no such weights.
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
    """W_U as it reads the residual stream, its mean over the vocabulary taken out.

    A softmax does not see what all tokens' logits share.
    """
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
    """What each token puts into the residual stream before any attention [token d_model].

    Args:
        tokens: which tokens; None means the whole vocabulary.
        through: "embed" for the embedding alone; "mlp0" adds what block 0's MLP makes of it, as the first
            MLP of models with tied embeddings does part of an embedding's work (Wang et al. 2022, section 3).

    Raises:
        ValueError: for "mlp0" in an attention-only model, or another name.
    """
    if through not in ("embed", "mlp0"):
        raise ValueError(f"an embedding goes through 'embed' or 'mlp0', not {through!r}.")
    if through == "mlp0" and model.cfg.attn_only:
        raise ValueError("this model is attention-only: there is no MLP to go through; use 'embed'.")
    if tokens is None:
        tokens = torch.arange(model.cfg.d_vocab, device=model.cfg.device)
    with torch.no_grad():
        embedded = model.embed(tokens[None].to(model.cfg.device))
        if through == "mlp0":
            embedded = embedded + model.blocks[0].mlp_output(embedded)
    return at_least_float32(embedded[0].detach())
