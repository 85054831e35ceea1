"""Scores of attention heads on a block of random tokens that is repeated once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.labs.head_names import Head
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.head_detectors import detect_heads


@dataclass(frozen=True)
class HeadScores:
    """Mean attention of every head, 0 to 1, on the CPU."""

    prefix: Float[Tensor, "layer head"]
    """From a token's second occurrence to the token after its first one."""
    previous: Float[Tensor, "layer head"]
    """To the position before."""
    duplicate: Float[Tensor, "layer head"]
    """From a token's second occurrence to its first one."""


def score_heads(model: HookedTransformer, tokens: Int[Tensor, "batch pos"]) -> HeadScores:
    """The three scores on sequences of BOS and a block twice.

    Keys are chosen by position, not by token: if a random token occurs twice within the block, only the occurrence one
    block earlier counts. Source: Olsson et al. (2022), "prefix matching score".

    Raises:
        ValueError: if the length is not that of a BOS and a block twice.
    """
    length = tokens.shape[1]
    if length % 2 == 0 or length < 5:
        raise ValueError(
            f"sequences must be BOS and a block twice, an odd number of at least 5 tokens, not {length}."
        )
    half = length // 2
    found = detect_heads(
        model,
        tokens,
        {
            "prefix": one_block_back(length, half - 1),
            "previous": "previous",
            "duplicate": one_block_back(length, half),
        },
    )
    return HeadScores(
        **{
            name: torch.as_tensor(found.of(name).values.values.copy(), dtype=torch.float32)
            for name in ("prefix", "previous", "duplicate")
        }
    )


def one_block_back(length: int, offset: int) -> Bool[Tensor, "query key"]:
    """For each query of the second copy, the key `offset` positions before it; none for queries of the first copy."""
    target = torch.zeros(length, length, dtype=torch.bool)
    queries = torch.arange(length // 2 + 1, length)
    target[queries, queries - offset] = True
    return target


def top_heads(scores: Float[Tensor, "layer head"], count: int) -> list[Head]:
    """The heads with the largest scores, the largest first."""
    order = scores.flatten().argsort(descending=True)[:count]
    return [(int(index) // scores.shape[1], int(index) % scores.shape[1]) for index in order]
