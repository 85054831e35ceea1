"""Choose the largest features over all ranks, exactly as a single process would.

Each rank offers its own largest features as candidates, in the order of features. Ranks hold consecutive features, so
concatenating their candidates keeps that order, and of equal candidates the same one comes first for any number of
ranks.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mechscope.dictionaries._top_k import among_largest, largest_places
from mechscope.dictionaries.distributed.ranks import Ranks


@torch.no_grad()
def among_all(
    values: Float[Tensor, "batch entry"], indices: Int[Tensor, "batch entry"], k: int, ranks: Ranks
) -> Bool[Tensor, "batch entry"]:
    """True at this rank's candidates that are among the k largest of their example over all ranks.

    Args:
        values: up to k candidates per example: this rank's largest, in any order.
        indices: the candidates' features.
        k: at most the number of candidates of all ranks together.
    """
    order = indices.argsort(-1)
    # A rank with fewer than k features is padded with candidates that are never chosen.
    offered = nn.functional.pad(values.gather(-1, order), (0, k - values.shape[-1]), value=-torch.inf)
    offers = ranks.gather(offered).movedim(0, 1)
    chosen = among_largest(offers.flatten(1), k).view_as(offers)[:, ranks.rank, : values.shape[-1]]
    return torch.zeros_like(chosen).scatter(-1, order, chosen)


@torch.no_grad()
def largest_of_batch(x: Float[Tensor, "batch feature"], k: int, ranks: Ranks) -> Int[Tensor, " entry"]:
    """Indices into x.flatten() of the entries that are among the k largest of a batch over all ranks.

    Args:
        x: this rank's features, which must not be negative.
    """
    mine = largest_places(x, min(k, x.numel()))
    if ranks.alone:
        return mine
    examples, features = x.shape
    mine = mine[(mine % features * examples + mine.div(features, rounding_mode="floor")).argsort()]
    offers = ranks.gather(x.flatten()[mine])
    return mine[among_largest(offers.flatten(), min(k, offers.numel())).view_as(offers)[ranks.rank]]
