"""When a curve changes, and whether it does so at once."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def halfway_step(step: Int[Tensor, " step"], curve: Float[Tensor, " step"]) -> float:
    """The step at which a curve has gone half of the way from its first to its last value (between looks: linear).

    Raises:
        ValueError: if the curve ends where it began.
    """
    way = _way(curve)
    after = int((way >= 0.5).nonzero()[0])
    if after == 0:
        return float(step[0])
    low, high = float(way[after - 1]), float(way[after])
    return float(step[after - 1]) + (0.5 - low) / (high - low) * float(step[after] - step[after - 1])


def abruptness(step: Int[Tensor, " step"], curve: Float[Tensor, " step"], window: float = 0.15) -> float:
    """Largest part of the whole way that a curve goes within a window of this share of the training.

    A straight line has abruptness `window`; a jump has 1.
    """
    way = _way(curve)
    span = window * float(step[-1] - step[0])
    best = 0.0
    for start in range(len(step)):
        end = int((step <= step[start] + span).nonzero()[-1])
        best = max(best, float(way[end] - way[start]))
    return best


def _way(curve: Tensor) -> Tensor:
    total = float(curve[-1] - curve[0])
    if total == 0:
        raise ValueError("the curve ends where it began; it has no change to date.")
    return (curve.double() - float(curve[0])) / total
