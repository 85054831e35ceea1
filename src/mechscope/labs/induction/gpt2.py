"""The same scores on GPT-2 small, whose induction heads are known from the literature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.data.repeated_tokens import repeated_twice
from mechscope.labs.induction.head_scores import score_heads, top_heads
from mechscope.model.transformer import HookedTransformer

INDUCTION = ((5, 1), (5, 5), (6, 9), (7, 2), (7, 10))
PREVIOUS = ((4, 11), (2, 2))
DUPLICATE = ((3, 0), (0, 1))


@dataclass(frozen=True)
class HeadTable:
    """Three scores of every head."""

    induction: Float[Tensor, "layer head"]
    """Prefix score."""
    previous: Float[Tensor, "layer head"]
    """Attention to the position before."""
    duplicate: Float[Tensor, "layer head"]
    """Attention to the same token's first occurrence."""

    def found(self) -> int:
        """How many of the nine known heads rank where they should: top 8, top 2 and top 3."""
        return sum(
            sum(head in top_heads(scores, count) for head in known)
            for scores, known, count in (
                (self.induction, INDUCTION, 8),
                (self.previous, PREVIOUS, 2),
                (self.duplicate, DUPLICATE, 3),
            )
        )


def head_table(model: HookedTransformer, seed: int, half: int = 50, sequences: int = 10) -> HeadTable:
    """The three scores on random tokens, `half` of them twice, after a BOS."""
    # GPT-2's BOS is the last of its tokens, which is where `repeated_twice` expects it.
    tokens = repeated_twice(sequences, half, model.cfg.d_vocab - 1, torch.Generator().manual_seed(seed))
    scores = score_heads(model, tokens.to(model.W_E.device))
    return HeadTable(scores.prefix, scores.previous, scores.duplicate)
