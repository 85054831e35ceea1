"""What a member is trained on at each step: drawn from the step's own seed, so the same for every member."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.recipes.family.config import FamilyConfig
from mechscope.recipes.family.corpus import Corpus
from mechscope.runs.training_state import step_seed

BOS = 0


def training_batch(config: FamilyConfig, corpus: Corpus, seed: int, step: int) -> Int[Tensor, "batch pos"]:
    """The sequences of one training step: random blocks over and over, and from the second phase on mostly text."""
    generator = torch.Generator().manual_seed(step_seed(seed, step))
    if step < config.first_steps:
        return repeated_blocks(config, config.first_batch, generator)
    code, repeated = config.code_rows, config.repeated_rows
    books = config.second_batch - code - repeated
    return torch.cat(
        [
            cut_out(corpus.books, books, config.n_ctx, generator),
            cut_out(corpus.code, code, config.n_ctx, generator),
            repeated_blocks(config, repeated, generator),
        ]
    )


def repeated_blocks(config: FamilyConfig, batch: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
    """BOS, then a block of random tokens over and over; each sequence has its own length of block."""
    length = torch.randint(config.shortest, config.longest + 1, (batch, 1), generator=generator)
    drawn = torch.randint(BOS + 1, config.d_vocab, (batch, config.n_ctx - 1), generator=generator)
    tokens = drawn.gather(1, torch.arange(config.n_ctx - 1)[None] % length)
    return torch.cat([torch.full((batch, 1), BOS), tokens], 1)


def cut_out(
    stream: Int[Tensor, " token"], batch: int, n_ctx: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then n_ctx - 1 tokens from a random place of a stream."""
    starts = torch.randint(0, len(stream) - n_ctx + 2, (batch, 1), generator=generator)
    tokens = stream[starts + torch.arange(n_ctx - 1)].long()
    return torch.cat([torch.full((batch, 1), BOS), tokens], 1)
