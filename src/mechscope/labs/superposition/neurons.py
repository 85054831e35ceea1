"""What a hidden unit with a privileged basis stands for: one feature, or several."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MONOSEMANTIC = 0.9
"""A unit is monosemantic if one feature has at least this share of its squared weights."""
ALIVE = 0.1
"""Units with input weights of a smaller norm stand for nothing."""


def largest_share(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack hidden"]:
    """Share of each unit's squared input weights that its strongest feature has; 1/k for k equal ones."""
    square = W.square()
    return square.amax(-1) / square.sum(-1).clamp_min(1e-20)


def monosemantic_share(W: Float[Tensor, "hidden feature"]) -> float:
    """Share of the living units that are monosemantic; 0 where none is alive."""
    alive = W.norm(dim=-1) > ALIVE
    if not bool(alive.any()):
        return 0.0
    return float((largest_share(W)[alive] >= MONOSEMANTIC).float().mean())


def features_per_unit(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack hidden"]:
    """Effective number of features in each unit: (Σ w²)² / Σ w⁴."""
    square = W.square()
    return square.sum(-1).square() / square.square().sum(-1).clamp_min(torch.finfo(W.dtype).tiny)
