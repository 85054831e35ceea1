"""When a curve changes, and how abruptly."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def halfway_step(step: Int[Tensor, " step"], curve: Float[Tensor, " step"]) -> float:
    """The step at which a curve is halfway from its first to its last value, interpolated between evaluations.

    Raises:
        ValueError: if the curve ends where it began.
    """
    done = _share_done(curve)
    after = int((done >= 0.5).nonzero()[0])
    if after == 0:
        return float(step[0])
    low, high = float(done[after - 1]), float(done[after])
    return float(step[after - 1]) + (0.5 - low) / (high - low) * float(step[after] - step[after - 1])


def abruptness(step: Int[Tensor, " step"], curve: Float[Tensor, " step"], window: float = 0.15) -> float:
    """Largest share of a curve's total change that happens within `window`, a share of the training.

    A straight line has abruptness `window`, and a jump has 1.
    """
    done = _share_done(curve)
    span = window * float(step[-1] - step[0])
    best = 0.0
    for start in range(len(step)):
        end = int((step <= step[start] + span).nonzero()[-1])
        best = max(best, float(done[end] - done[start]))
    return best


def _share_done(curve: Tensor) -> Tensor:
    total = float(curve[-1] - curve[0])
    if total == 0:
        raise ValueError(
            "the curve ends at the value where it began, so there is no change to find; train for longer."
        )
    return (curve.double() - float(curve[0])) / total
