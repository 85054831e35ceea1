"""Little stories in which every sentence begins with the story's hero: what a model has to look back for."""

from __future__ import annotations

import torch
from torch import Tensor

HEROES, VERBS, THINGS = 10, 10, 11
STOP = HEROES + VERBS + THINGS
D_VOCAB = STOP + 1
"""Heroes, verbs, things and the full stop."""
SENTENCE = 4
"""Tokens per sentence: hero, verb, thing, full stop."""


def stories(count: int, sentences: int, names: Tensor, generator: torch.Generator) -> Tensor:
    """Stories as tokens [story pos].

    After a full stop comes the hero, whom only an earlier sentence can tell. Verbs and things are chance, so that
    nothing else can be known.

    Args:
        count: how many.
        sentences: sentences per story.
        names: the token of each word, a permutation of D_VOCAB numbers, so that no token is known beforehand.
        generator: makes the stories.
    """

    def words(first: int, number: int, *shape: int) -> Tensor:
        return first + torch.randint(number, shape, generator=generator)

    columns = (
        words(0, HEROES, count, 1).expand(count, sentences),
        words(HEROES, VERBS, count, sentences),
        words(HEROES + VERBS, THINGS, count, sentences),
        torch.full((count, sentences), STOP),
    )
    return names[torch.stack(columns, -1).flatten(1)]


def starting_weights(
    d_vocab: int, n_ctx: int, d_model: int, n_heads: int, n_layers: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Random weights of a GPT-2 that is about to be trained: biases 0, LayerNorms 1."""

    def matrix(*shape: int, read: int) -> Tensor:
        return torch.randn(shape, generator=generator) / read**0.5

    d_head, d_mlp = d_model // n_heads, 2 * d_model
    weights = {
        "embed.W_E": 0.3 * matrix(d_vocab, d_model, read=1),
        "pos_embed.W_pos": 0.3 * matrix(n_ctx, d_model, read=1),
    }
    for layer in range(n_layers):
        block = {
            **{f"attn.W_{name}": matrix(n_heads, d_model, d_head, read=d_model) for name in "QKV"},
            **{f"attn.b_{name}": torch.zeros(n_heads, d_head) for name in "QKV"},
            "attn.W_O": matrix(n_heads, d_head, d_model, read=d_model),
            "attn.b_O": torch.zeros(d_model),
            "mlp.W_in": matrix(d_model, d_mlp, read=d_model),
            "mlp.b_in": torch.zeros(d_mlp),
            "mlp.W_out": matrix(d_mlp, d_model, read=d_mlp),
            "mlp.b_out": torch.zeros(d_model),
        }
        for norm in ("ln1", "ln2"):
            block |= {f"{norm}.w": torch.ones(d_model), f"{norm}.b": torch.zeros(d_model)}
        weights |= {f"blocks.{layer}.{name}": weight for name, weight in block.items()}
    return weights | {
        "ln_final.w": torch.ones(d_model),
        "ln_final.b": torch.zeros(d_model),
        "unembed.W_U": matrix(d_model, d_vocab, read=d_model),
        "unembed.b_U": torch.zeros(d_vocab),
    }
