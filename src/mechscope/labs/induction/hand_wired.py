"""Induction without training: two heads whose weights are written by hand.

The residual stream is cut into named rooms. Layer 0's head looks one position back and notes, in the room
"before", which token stood there. Layer 1's head looks for a place where "before" is the current token, reads
the token that stands there, and writes it into the room "next", which is all that the unembedding reads.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer

SHARPNESS = 100.0
"""Attention score of a match; softmax makes it all but certain."""


def hand_wired_induction(n_tokens: int, n_ctx: int) -> HookedTransformer:
    """A two-layer, one-head attention-only model that solves induction exactly. The BOS is token n_tokens."""
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
    words, places = torch.eye(vocabulary), torch.eye(n_ctx)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, token] = words
        model.pos_embed.W_pos[:, position] = places
        model.unembed.W_U[following] = words

        previous = model.blocks[0].attn
        previous.W_Q[0, position, :n_ctx] = SHARPNESS * places
        # The key of position p is what the query of position p + 1 looks for.
        previous.W_K[0, position, :n_ctx] = places.roll(1, dims=1)
        previous.W_V[0, token, :vocabulary] = words
        previous.W_O[0, :vocabulary, before] = words

        induction = model.blocks[1].attn
        induction.W_Q[0, token, :vocabulary] = SHARPNESS * words
        induction.W_K[0, before, :vocabulary] = words
        induction.W_V[0, token, :vocabulary] = words
        induction.W_O[0, :vocabulary, following] = words
    return model


def solvable_blocks(
    batch: int, half: int, n_tokens: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS and a block twice, no token twice within the block: then every repeat has exactly one right answer.

    Raises:
        ValueError: if the block is longer than there are tokens.
    """
    if half > n_tokens:
        raise ValueError(f"a block of {half} different tokens cannot be drawn from {n_tokens}.")
    block = torch.rand(batch, n_tokens, generator=generator).argsort(-1)[:, :half]
    return torch.cat([torch.full((batch, 1), n_tokens), block, block], dim=1)


def induction_accuracy(model: HookedTransformer, tokens: Int[Tensor, "batch pos"], half: int) -> float:
    """Share of right next tokens within the second copy of the block."""
    with torch.no_grad():
        guesses = model(tokens)[:, half + 1 : -1].argmax(-1)
    return float((guesses == tokens[:, half + 2 :]).float().mean())
