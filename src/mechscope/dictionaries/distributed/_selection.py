"""The largest features of all ranks: each offers its own best, and the same are chosen as one rank would choose.

Candidates are compared in the order of features. Ranks hold consecutive features, so that is the order of ranks, and
within a rank that of its own; of equal candidates the first is then the same feature, however many ranks there are.
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
    """Which of this rank's candidates are among each example's k largest of all ranks.

    Args:
        values: at most k candidates of each example: this rank's largest, in any order.
        indices: which features they are.
        k: no more than the candidates of all ranks together.
    """
    order = indices.argsort(-1)
    # Ranks with fewer features than k offer what is never chosen.
    offered = nn.functional.pad(values.gather(-1, order), (0, k - values.shape[-1]), value=-torch.inf)
    offers = ranks.gather(offered).movedim(0, 1)
    chosen = among_largest(offers.flatten(1), k).view_as(offers)[:, ranks.rank, : values.shape[-1]]
    return torch.zeros_like(chosen).scatter(-1, order, chosen)


@torch.no_grad()
def largest_of_batch(x: Float[Tensor, "batch feature"], k: int, ranks: Ranks) -> Int[Tensor, " entry"]:
    """Places in x.flatten() of those entries that are among the k largest of a batch over all ranks' features.

    Args:
        x: this rank's features, none below zero.
    """
    mine = largest_places(x, min(k, x.numel()))
    if ranks.alone:
        return mine
    examples, features = x.shape
    mine = mine[(mine % features * examples + mine.div(features, rounding_mode="floor")).argsort()]
    offers = ranks.gather(x.flatten()[mine])
    return mine[among_largest(offers.flatten(), min(k, offers.numel())).view_as(offers)[ranks.rank]]
