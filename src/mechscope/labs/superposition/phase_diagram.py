"""Two features, one hidden dimension: the best solution in closed form, and the one that training found.

Feature 0 has importance 1, feature 1 importance I; both are present with probability p, independently, and then
uniform on [0, 1]. There are three ways to use the dimension.

- Ignore feature 1 and output its mean p/2. The loss is its variance, times its importance: I (p/3 − p²/4).
- Ignore feature 0. The loss is p/3 − p²/4.
- Represent both, pointing in opposite directions. A feature that is present alone is reproduced exactly. If both are
  present (probability p²), the weaker one is lost and the stronger one is too small by as much. The mean of
  min(x₀, x₁)² over the unit square is 1/6, once for each feature, so the loss is p² (1 + I) / 6.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

IGNORES_1, IGNORES_0, SUPERPOSED, BETWEEN = 0, 1, 2, 3
PHASES = ("feature 0 alone", "feature 1 alone", "both, antipodal", "neither clearly")
"""The meaning of these numbers."""


def ideal_losses(p: Tensor, importance: Tensor) -> Float[Tensor, "3 ..."]:
    """Losses of the three ideal solutions, in the order of PHASES."""
    variance = p / 3 - p.square() / 4
    return torch.stack([importance * variance, variance, p.square() * (1 + importance) / 6])


def boundary(importance: Tensor) -> Tensor:
    """p*: below this density superposition is better than ignoring the less important feature.

    Set I (p/3 − p²/4) equal to p² (1 + I) / 6 and solve for p: p* = 4I / (2 + 5I) for I ≤ 1. For I ≥ 1 feature 0 would
    be ignored instead, and p* = 4 / (5 + 2I).
    """
    return torch.where(importance <= 1, 4 * importance / (2 + 5 * importance), 4 / (5 + 2 * importance))


def phase_of(W: Float[Tensor, "*stack 1 2"]) -> Tensor:
    """Which of PHASES trained weights are in.

    A feature is represented if its weight is larger than 1/2. Both are superposed if they also point in opposite
    directions and ‖W‖² is nearer to 2 (two features) than to 1 (one feature, or one direction between the two, the best
    solution for dense features if I = 1).
    """
    first, second = W[..., 0, 0], W[..., 0, 1]
    both = (first.abs() > 0.5) & (second.abs() > 0.5)
    apart = (first * second < 0) & (W.square().sum((-2, -1)) > 1.5)
    phase = torch.full(first.shape, BETWEEN)
    phase[both & apart] = SUPERPOSED
    phase[(first.abs() > 0.5) & (second.abs() <= 0.5)] = IGNORES_1
    phase[(first.abs() <= 0.5) & (second.abs() > 0.5)] = IGNORES_0
    return phase
