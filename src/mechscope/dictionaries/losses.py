"""The loss of a training step, with its parts by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.dictionaries.features import Features, count_active
from mechscope.model.precision import at_least_float32


@dataclass(frozen=True)
class DeadFeatures:
    """Features that have not been active for long, and settings of the auxiliary loss that revives them (Gao et al.
    2024)."""

    mask: Bool[Tensor, " feature"]
    """Which features are dead."""
    k: int
    """How many of them reconstruct the residual error of the others, per example."""
    coefficient: float = 1 / 32
    """Weight of the auxiliary loss."""

    __repr__ = brief_repr


@dataclass(frozen=True)
class Loss:
    """The loss of a batch. All values refer to scaled activations, normalised if the config says so."""

    total: Float[Tensor, ""]
    """The sum of the parts."""
    parts: Mapping[str, Tensor]
    """The terms of the total: "mse" (squared error, summed over d_out, averaged over examples), and those of the
    architecture: "l1", "l0", "gate", "auxiliary", "mse_first_64" …"""
    features: Features
    """Feature activations, dense or sparse."""
    reconstruction: Float[Tensor, "batch d_out"]
    """The output."""
    target: Float[Tensor, "batch d_out"]
    """What the output should have been."""

    __repr__ = brief_repr

    @property
    def l0(self) -> float:
        """Active features per example, averaged over the batch."""
        return float(count_active(self.features).mean())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained in this batch: 0 is perfect, predicting the batch's mean gives 1; NaN if
        nothing varies."""
        target = at_least_float32(self.target.detach())
        left = (at_least_float32(self.reconstruction.detach()) - target).square().sum()
        there = (target - target.mean(0)).square().sum()
        return float(left / there) if there > 0 else float("nan")


def squared_error(y: Float[Tensor, "batch d_out"], target: Float[Tensor, "batch d_out"]) -> Float[Tensor, ""]:
    """Squared error, summed over the width, averaged over the batch; in float32 for a dictionary in half precision."""
    return (at_least_float32(y) - at_least_float32(target)).square().sum(-1).mean()


def total(parts: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """The sum of named parts."""
    values = list(parts.values())
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result
