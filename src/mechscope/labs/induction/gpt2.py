"""The same scores on GPT-2 small, whose induction heads are known by name, where its weights are in reach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.hub import find_on_this_machine, weight_files
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.weights_checksum import checksum_of_files
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.labs.induction.head_scores import score_heads
from mechscope.model.transformer import HookedTransformer

HUB_ID = "openai-community/gpt2"
NO_GPT2 = "GPT-2 small is not on this machine; `mechscope doctor` says how to get it"

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


def gpt2_in_reach() -> bool:
    """Whether GPT-2 small's files are on this machine: in the hub's cache or in the data folder. Fetches nothing."""
    return find_on_this_machine("gpt2", HUB_ID)[1] is not None


def describe_gpt2(claims: str) -> str:
    """Which GPT-2 small a run would read, or that there is none.

    Other weights in the same place make another run, so the half gibibyte is read: a second or two, where it is there.

    Args:
        claims: what is not run without it, in words.
    """
    _, folder = find_on_this_machine("gpt2", HUB_ID)
    if folder is None:
        return f"not on this machine ({claims} not run)"
    return f"on this machine (weights {checksum_of_files(weight_files(folder))})"


def load_gpt2(device: torch.device) -> HookedTransformer:
    """GPT-2 small from this machine's files."""
    return load_model("gpt2-small").to(device)


def head_table(model: HookedTransformer, seed: int, half: int = 50, sequences: int = 10) -> HeadTable:
    """The three scores on random tokens, `half` of them twice, after a BOS."""
    # GPT-2's BOS is the last of its tokens, which is where `repeated_twice` expects it.
    tokens = repeated_twice(sequences, half, model.cfg.d_vocab - 1, torch.Generator().manual_seed(seed))
    scores = score_heads(model, tokens.to(model.W_E.device))
    return HeadTable(scores.prefix, scores.previous, scores.duplicate)


def top_heads(scores: Float[Tensor, "layer head"], count: int) -> list[tuple[int, int]]:
    """The heads with the largest scores, the largest first."""
    order = scores.flatten().argsort(descending=True)[:count]
    return [(int(index) // scores.shape[1], int(index) % scores.shape[1]) for index in order]
