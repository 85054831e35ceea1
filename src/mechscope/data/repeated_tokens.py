"""Sequences of random tokens with a repeated segment: only the repetition is predictable."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def random_repeats(
    batch: int,
    length: int,
    n_tokens: int,
    shortest: int,
    longest: int,
    generator: torch.Generator,
) -> Int[Tensor, "batch pos"]:
    """Random tokens after a BOS, with one segment of random length repeated after a random gap.

    Tokens are 0 … n_tokens - 1; the BOS is n_tokens.

    Args:
        shortest, longest: bounds of the repeated segment's length, both included.

    Raises:
        ValueError: if two copies of the longest segment and the BOS do not fit.
    """
    if not 1 <= shortest <= longest or 2 * longest > length - 1:
        raise ValueError(
            f"a segment of {shortest} to {longest} tokens does not fit twice into {length} tokens, one of them the "
            f"BOS; the longest that fits is {(length - 1) // 2}."
        )
    tokens = torch.randint(0, n_tokens, (batch, length), generator=generator)
    segment = torch.randint(shortest, longest + 1, (batch, 1), generator=generator)
    free = length - 1 - 2 * segment
    # Divide the free tokens: some before the first copy, some between the copies, the rest after the second.
    before = (torch.rand(batch, 1, generator=generator) * (free + 1)).long()
    between = (torch.rand(batch, 1, generator=generator) * (free - before + 1)).long()
    first = 1 + before
    second = first + segment + between
    positions = torch.arange(length)[None]
    in_copy = (positions >= second) & (positions < second + segment)
    tokens = tokens.gather(1, torch.where(in_copy, positions - second + first, positions.expand(batch, -1)))
    tokens[:, 0] = n_tokens
    return tokens


def repeated_twice(
    batch: int, half: int, n_tokens: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then `half` random tokens, then the same again: the standard test for induction."""
    tokens = torch.randint(0, n_tokens, (batch, half), generator=generator)
    return torch.cat([torch.full((batch, 1), n_tokens), tokens, tokens], dim=1)
