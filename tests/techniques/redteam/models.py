"""Small models written by hand, each with a behaviour whose explanation is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mechscope.data.copying import Induction
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks import Answers, Task

WORDS = 20
MARKERS = 4
VOCAB = WORDS + MARKERS


def two_jobs() -> HookedTransformer:
    """After word w it says w + 1 (round the words), by its embedding alone; its head 0 of 2 repeats any marker seen."""
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 2 * VOCAB, "n_ctx": 16, "d_head": VOCAB, "n_heads": 2, "d_vocab": VOCAB,
         "attn_only": True, "normalization_type": None, "positional_embedding_type": "shortformer"}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, :VOCAB] = torch.eye(VOCAB)
        for word in range(WORDS):
            model.unembed.W_U[word, (word + 1) % WORDS] = 5
        # Attention is even over all positions, so a marker seen once counts one part in as many.
        for marker in range(WORDS, VOCAB):
            model.blocks[0].attn.W_V[0, marker, marker] = 1
            model.blocks[0].attn.W_O[0, marker, VOCAB + marker] = 100
            model.unembed.W_U[VOCAB + marker, marker] = 1
    return model


def next_word_task(n: int, seed: int) -> Task:
    """A word and the one after it, others, and the first word again: both a bigram and induction say what follows."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[torch.Tensor] = []
    for _ in range(n):
        order = torch.randperm(WORDS // 4, generator=generator)[:4] * 4
        rows.append(torch.stack([order, order + 1], 1).flatten())
    text = torch.stack(rows)
    which = torch.randint(0, 3, (n,), generator=generator) * 2
    last = text.gather(1, which[:, None])
    other = text.gather(1, (which + 2)[:, None])
    where = torch.full((n, 1), text.shape[1])
    return Task(
        "next word",
        torch.cat([text, last], 1),
        torch.cat([text, other], 1),
        Answers(where, (last + 1)[..., None], (other + 1)[..., None]),
        seed=seed,
    )


def marker_task(n: int, seed: int) -> Task:
    """Which marker stood among the words?"""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(0, WORDS, (n, 6), generator=generator)
    marker = torch.randint(WORDS, VOCAB, (n, 1), generator=generator)
    other = WORDS + (marker - WORDS + 1) % MARKERS
    clean, corrupted = (torch.cat([words[:, :2], each, words[:, 2:]], 1) for each in (marker, other))
    where = torch.full((n, 1), clean.shape[1] - 1)
    return Task("marker", clean, corrupted, Answers(where, marker[..., None], other[..., None]), seed=seed)


def neurons() -> tuple[HookedTransformer, Task]:
    """Three neurons: one tells the prompts apart and is read; one tells them apart unread; one is read and constant."""
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 3, "n_ctx": 2, "d_head": 3, "n_heads": 1, "d_vocab": 2, "d_mlp": 3, "act_fn": "relu",
         "normalization_type": None, "positional_embedding_type": "shortformer"}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, 0] = torch.tensor([0.0, 1.0])
        model.blocks[0].mlp.W_in[0, 0] = model.blocks[0].mlp.W_in[0, 1] = 1
        model.blocks[0].mlp.b_in[2] = 1
        model.blocks[0].mlp.W_out[0, 1] = model.blocks[0].mlp.W_out[2, 2] = 1
        model.unembed.W_U[1, 1] = model.unembed.W_U[2, 1] = 1
    n = 10
    answers = Answers(torch.zeros(n, 1, dtype=torch.long), torch.ones(n, 1, 1, dtype=torch.long))
    ones = torch.ones(n, 1, dtype=torch.long)
    return model, Task("neurons", ones, 0 * ones, answers).with_metric("logit")


def weighted_heads(
    weights: Sequence[float], direct: float = 0.0, *, other: Sequence[float] | None = None
) -> HookedTransformer:
    """Each head copies the last token with its weight, and the token itself counts `direct`; nothing is normalised.

    So the set S keeps (sum of its weights + direct) / (sum of all weights + direct) of a behaviour, and nothing varies
    between prompts. Words and markers may have different weights (`other` is for markers).
    """
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 2 * VOCAB, "n_ctx": 4, "d_head": VOCAB, "n_heads": len(weights), "d_vocab": VOCAB,
         "attn_only": True, "normalization_type": None, "positional_embedding_type": "shortformer"}
    )  # fmt: skip
    attention = model.blocks[0].attn
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, :VOCAB] = torch.eye(VOCAB)
        for head, pair in enumerate(zip(weights, weights if other is None else other, strict=True)):
            attention.W_V[head, :VOCAB] = torch.eye(VOCAB)
            attention.W_O[head, :, VOCAB:] = torch.diag(torch.tensor([pair[0]] * WORDS + [pair[1]] * MARKERS))
        model.unembed.W_U[:VOCAB] = direct * torch.eye(VOCAB)
        model.unembed.W_U[VOCAB:] = torch.eye(VOCAB)
    return model


def same_token_task(n: int, seed: int, tokens: range = range(WORDS)) -> Task:
    """Prompts of one token; the answer is the same token again."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(tokens.start, tokens.stop, (n, 1), generator=generator)
    corrupted = tokens.start + (clean - tokens.start + 1) % len(tokens)
    where = torch.zeros(n, 1, dtype=torch.long)
    name = "same word" if tokens.start == 0 else "same marker"
    return Task(name, clean, corrupted, Answers(where, clean[..., None], corrupted[..., None]), seed=seed)


def induction_rule(tokens: torch.Tensor) -> torch.Tensor:
    """What followed the last time, after every position; -1 where the token is new."""
    where = Induction(200).sources(tokens)
    return torch.where(where >= 0, tokens.gather(1, where.clamp(min=0)), -1)


def next_word_rule(tokens: torch.Tensor) -> torch.Tensor:
    """The word after the current one."""
    return torch.where(tokens < WORDS, (tokens + 1) % WORDS, -1)
