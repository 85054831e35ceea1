"""The k largest of many, found among the k best groups instead of among all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class TopK(NamedTuple):
    """The largest entries, in no order."""

    values: Float[Tensor, "*batch k"]
    """What they are."""
    indices: Int[Tensor, "*batch k"]
    """Where they are."""


GROUP = 16


def top_k(x: Float[Tensor, "*batch feature"], k: int) -> TopK:
    """The k largest of the last axis; which of two equal ones is left to chance.

    Selection on a processor costs far more an entry than a maximum does. The k largest group maxima are k entries,
    so whatever is among the k largest of all is at least as large as the least of them, and lies in their groups:
    it is enough to select among the maxima, and then within k groups.
    """
    features = x.shape[-1]
    groups = features // GROUP
    # On an accelerator one kernel is cheaper than four; where k is large, little would be left out.
    if x.device.type != "cpu" or features % GROUP or k * 4 > groups:
        return TopK(*torch.topk(x, k, dim=-1, sorted=False))
    # A group is every groups-th entry: the maximum then runs over whole rows.
    grouped = x.view(*x.shape[:-1], GROUP, groups)
    best = grouped.amax(-2).topk(k, dim=-1, sorted=False).indices
    at = (best[..., None, :] + groups * torch.arange(GROUP, device=x.device)[:, None]).flatten(-2)
    values, where = x.gather(-1, at).topk(k, dim=-1, sorted=False)
    return TopK(values, at.gather(-1, where))
