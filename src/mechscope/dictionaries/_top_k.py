"""The k largest entries, found in the k best groups instead of among all. Of equal entries, the first is taken."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class TopK(NamedTuple):
    """The largest entries, in no order."""

    values: Float[Tensor, "*batch k"]
    """Their values."""
    indices: Int[Tensor, "*batch k"]
    """Their indices along the last axis."""


GROUP = 16


def top_k(x: Float[Tensor, "*batch feature"], k: int) -> TopK:
    """The k largest entries of the last axis. Of equal entries the first is taken, so the choice depends on x alone.

    On a CPU, selection costs far more per entry than a maximum. The k largest entries lie in the k groups with the
    largest maxima: each of them is at least as large as the smallest of these maxima. So it is enough to select k
    groups by their maxima, and then k entries within them. One more entry than k is searched for: if it equals the
    last of the k, there was a tie.
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
    """Indices of the k largest entries in rows with ties; of equal entries the first."""
    few = min(2 * k, x.shape[-1])
    values, places = _best(x, few)
    places, order = places.sort(-1)
    found = places[among_largest(values.gather(-1, order), k)].view(-1, k)
    # Rows with even more equal entries are searched as a whole.
    unsure = values[:, k - 1] == values[:, -1]
    if few < x.shape[-1] and bool(unsure.any()):
        found[unsure] = among_largest(x[unsure], k).nonzero()[:, -1].view(-1, k)
    return found


def _best(x: Tensor, k: int) -> TopK:
    """The k largest entries in descending order; ties are broken arbitrarily."""
    groups = x.shape[-1] // GROUP
    # On a GPU one kernel is cheaper than four, and for a large k little would be skipped.
    if x.device.type != "cpu" or x.shape[-1] % GROUP or k * 3 > groups:
        return TopK(*torch.topk(x, k, dim=-1))
    # A group is every groups-th entry: the maximum then runs over whole rows.
    grouped = x.view(*x.shape[:-1], GROUP, groups)
    best = grouped.amax(-2).topk(k, dim=-1, sorted=False).indices
    at = (best[..., None, :] + groups * torch.arange(GROUP, device=x.device)[:, None]).flatten(-2)
    values, where = x.gather(-1, at).topk(k, dim=-1)
    return TopK(values, at.gather(-1, where))


def among_largest(x: Float[Tensor, "*batch entry"], k: int) -> Bool[Tensor, "*batch entry"]:
    """True at the k largest entries of the last axis; of equal entries the first."""
    least = x.topk(k, dim=-1).values[..., -1:]
    # A NaN counts as larger than anything, as it does for topk.
    above = ~(x <= least)
    equal = x == least
    return above | (equal & (equal.cumsum(-1, dtype=torch.int32) <= k - above.sum(-1, keepdim=True)))


def largest_places(x: Float[Tensor, "batch feature"], k: int) -> Int[Tensor, " entry"]:
    """Indices into x.flatten() of the k largest entries of a non-negative batch.

    Of equal entries, those of the first feature are taken, and within a feature those of the first examples. Ties
    between zeros are broken arbitrarily.
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
