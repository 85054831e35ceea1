"""An induction circuit without training: two heads whose weights are written by hand.

The residual stream is divided into parts: token, before, following, position. Layer 0's head attends to the previous
position and copies its token into "before". Layer 1's head attends to positions where "before" is the current token,
and copies the token that it finds there into "following", which is all that the unembedding reads.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer

SHARPNESS = 100.0
"""Attention score of a match, so large that the softmax gives it nearly all attention."""


def hand_wired_induction(n_tokens: int, n_ctx: int) -> HookedTransformer:
    """An attention-only model with two layers of one head that solves induction exactly. BOS is token `n_tokens`."""
    vocabulary = n_tokens + 1
    token = slice(0, vocabulary)
    before = slice(vocabulary, 2 * vocabulary)
    following = slice(2 * vocabulary, 3 * vocabulary)
    position = slice(3 * vocabulary, 3 * vocabulary + n_ctx)
    width, inner = position.stop, max(vocabulary, n_ctx)
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=2,
            d_model=width,
            n_ctx=n_ctx,
            d_head=inner,
            n_heads=1,
            d_vocab=vocabulary,
            attn_only=True,
            normalization_type=None,
            use_attn_scale=False,
            init_weights=False,
            default_prepend_bos=False,
            model_name="hand-wired-induction",
        )
    )
    tokens, positions = torch.eye(vocabulary), torch.eye(n_ctx)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, token] = tokens
        model.pos_embed.W_pos[:, position] = positions
        model.unembed.W_U[following] = tokens

        previous = model.blocks[0].attn
        previous.W_Q[0, position, :n_ctx] = SHARPNESS * positions
        # The key of position p is what the query of position p + 1 looks for.
        previous.W_K[0, position, :n_ctx] = positions.roll(1, dims=1)
        previous.W_V[0, token, :vocabulary] = tokens
        previous.W_O[0, :vocabulary, before] = tokens

        induction = model.blocks[1].attn
        induction.W_Q[0, token, :vocabulary] = SHARPNESS * tokens
        induction.W_K[0, before, :vocabulary] = tokens
        induction.W_V[0, token, :vocabulary] = tokens
        induction.W_O[0, :vocabulary, following] = tokens
    return model


def solvable_blocks(
    batch: int, half: int, n_tokens: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS and a block of different tokens, twice, so that every repeated token has exactly one right successor.

    Raises:
        ValueError: if the block is longer than the number of tokens.
    """
    if half > n_tokens:
        raise ValueError(
            f"a block of {half} different tokens cannot be drawn from {n_tokens}; make the block shorter."
        )
    block = torch.rand(batch, n_tokens, generator=generator).argsort(-1)[:, :half]
    return torch.cat([torch.full((batch, 1), n_tokens), block, block], dim=1)


def induction_accuracy(model: HookedTransformer, tokens: Int[Tensor, "batch pos"], half: int) -> float:
    """Share of tokens in the second copy of the block that the model predicts correctly."""
    with torch.no_grad():
        guesses = model(tokens)[:, half + 1 : -1].argmax(-1)
    return float((guesses == tokens[:, half + 2 :]).float().mean())
