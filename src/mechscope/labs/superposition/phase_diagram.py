"""Two features, one hidden dimension: what is best, in closed form, and what training does.

Feature 0 has importance 1, feature 1 importance I; both are present with probability p, independently, and then
uniform on [0, 1]. Three things can be done with the one dimension.

- Ignore feature 1 and answer with its mean p/2. Its variance p/3 − p²/4 is lost: I (p/3 − p²/4).
- Ignore feature 0: p/3 − p²/4.
- Put both into it, pointing opposite ways. Alone, each is reproduced exactly. When both are present
  (probability p²) the weaker one is lost and the stronger too small by as much; the mean of min(x₀, x₁)² over the
  unit square is 1/6, once for each feature: p² (1 + I) / 6.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

IGNORES_1, IGNORES_0, SUPERPOSED, BETWEEN = 0, 1, 2, 3
PHASES = ("feature 0 alone", "feature 1 alone", "both, antipodal", "neither clearly")
"""What the numbers mean."""


def ideal_losses(p: Tensor, importance: Tensor) -> Float[Tensor, "3 ..."]:
    """Losses of the three ideal solutions, in the order of PHASES."""
    variance = p / 3 - p.square() / 4
    return torch.stack([importance * variance, variance, p.square() * (1 + importance) / 6])


def boundary(importance: Tensor) -> Tensor:
    """p*: below this density superposition is better than ignoring the less important feature.

    Equate I (p/3 − p²/4) with p² (1 + I) / 6 and solve for p: 4I / (2 + 5I) for I ≤ 1; for I ≥ 1 it is feature 0
    that would be ignored, and it becomes 4 / (5 + 2I).
    """
    return torch.where(importance <= 1, 4 * importance / (2 + 5 * importance), 4 / (5 + 2 * importance))


def phase_of(W: Float[Tensor, "*stack 1 2"]) -> Tensor:
    """Which of PHASES trained weights are in.

    A feature is in if its weight is larger than 1/2; both are superposed if they point opposite ways and ‖W‖² is
    nearer to 2 (two features) than to 1 (one, or a direction between the two: the dense optimum where I = 1).
    """
    first, second = W[..., 0, 0], W[..., 0, 1]
    both = (first.abs() > 0.5) & (second.abs() > 0.5)
    apart = (first * second < 0) & (W.square().sum((-2, -1)) > 1.5)
    phase = torch.full(first.shape, BETWEEN)
    phase[both & apart] = SUPERPOSED
    phase[(first.abs() > 0.5) & (second.abs() <= 0.5)] = IGNORES_1
    phase[(first.abs() <= 0.5) & (second.abs() > 0.5)] = IGNORES_0
    return phase
