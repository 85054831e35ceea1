"""The k largest of many, found among the k best groups instead of among all. Of equal ones, the first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class TopK(NamedTuple):
    """The largest entries, in no order."""

    values: Float[Tensor, "*batch k"]
    """What they are."""
    indices: Int[Tensor, "*batch k"]
    """Where they are."""


GROUP = 16


def top_k(x: Float[Tensor, "*batch feature"], k: int) -> TopK:
    """The k largest of the last axis; of equal ones the first, so that the choice depends on x alone.

    Selection on a processor costs far more an entry than a maximum does. The k largest group maxima are k entries,
    so whatever is among the k largest of all is at least as large as the least of them, and lies in their groups:
    it is enough to select among the maxima, and then within k groups. One more than k is looked for: only where
    it equals the last of the k was there anything to choose.
    """
    features = x.shape[-1]
    if k >= features:
        return TopK(*torch.topk(x, k, dim=-1))
    values, indices = _best(x, k + 1)
    tied = values[..., k - 1] == values[..., k]
    values, indices = values[..., :k].contiguous(), indices[..., :k].contiguous()
    if bool(tied.any()):
        rows = x[tied]
        first = _first_of_equal(rows, k)
        values[tied], indices[tied] = rows.gather(-1, first), first
    return TopK(values, indices)


def _first_of_equal(x: Float[Tensor, "batch feature"], k: int) -> Int[Tensor, "batch k"]:
    """Places of the k largest of rows that offer a choice; of equal ones the first."""
    few = min(2 * k, x.shape[-1])
    values, places = _best(x, few)
    places, order = places.sort(-1)
    found = places[among_largest(values.gather(-1, order), k)].view(-1, k)
    # Rows where even more are equal are looked at as a whole.
    unsure = values[:, k - 1] == values[:, -1]
    if few < x.shape[-1] and bool(unsure.any()):
        found[unsure] = among_largest(x[unsure], k).nonzero()[:, -1].view(-1, k)
    return found


def _best(x: Tensor, k: int) -> TopK:
    """The k largest in falling order; which of two equal ones is left to chance."""
    groups = x.shape[-1] // GROUP
    # On an accelerator one kernel is cheaper than four; where k is large, little would be left out.
    if x.device.type != "cpu" or x.shape[-1] % GROUP or k * 3 > groups:
        return TopK(*torch.topk(x, k, dim=-1))
    # A group is every groups-th entry: the maximum then runs over whole rows.
    grouped = x.view(*x.shape[:-1], GROUP, groups)
    best = grouped.amax(-2).topk(k, dim=-1, sorted=False).indices
    at = (best[..., None, :] + groups * torch.arange(GROUP, device=x.device)[:, None]).flatten(-2)
    values, where = x.gather(-1, at).topk(k, dim=-1)
    return TopK(values, at.gather(-1, where))


def among_largest(x: Float[Tensor, "*batch entry"], k: int) -> Bool[Tensor, "*batch entry"]:
    """Which k entries of the last axis are the largest; of equal ones the first."""
    least = x.topk(k, dim=-1).values[..., -1:]
    # A NaN counts as larger than anything, as it does for topk.
    above = ~(x <= least)
    equal = x == least
    return above | (equal & (equal.cumsum(-1, dtype=torch.int32) <= k - above.sum(-1, keepdim=True)))


def largest_places(x: Float[Tensor, "batch feature"], k: int) -> Int[Tensor, " entry"]:
    """Places in x.flatten() of the k largest of a batch of non-negative entries.

    Of equal ones those of the first feature are taken, and of one feature the first examples; which zeros are taken
    is left to chance.
    """
    flat = x.flatten()
    if k >= len(flat):
        return torch.arange(len(flat), device=x.device)
    values, places = flat.topk(k + 1, sorted=False)
    least = values.min()
    above = places[values > least]
    if len(above) == k:
        return above
    if float(least) <= 0:
        return flat.topk(k, sorted=False).indices
    by_feature = among_largest(x.T.flatten(), k).nonzero().squeeze(-1)[:k]
    return by_feature % len(x) * x.shape[1] + by_feature.div(len(x), rounding_mode="floor")
