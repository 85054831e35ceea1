"""The formula of step 02 as numbers: logit(c) ≈ α_0 + Σ_k α_k cos w_k(a+b-c)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def cosine_amplitudes(logits: Float[Tensor, "p p p"], keys: Sequence[int]) -> Float[Tensor, " key"]:
    """α_k of the best fit to all logits, for each key frequency (float64).

    The cosines are orthogonal over all (a, b, c), so each α_k is a projection.
    """
    p = len(logits)
    number = torch.arange(p)
    distance = (number[:, None, None] + number[:, None] - number) % p
    sums = torch.zeros(p, dtype=torch.float64).index_add_(0, distance.flatten(), logits.double().flatten())
    waves = torch.stack([torch.cos(2 * torch.pi * ((key * number) % p).double() / p) for key in keys])
    return waves @ (sums / p**2) / waves.square().sum(1)
