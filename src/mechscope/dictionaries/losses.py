"""What a training step minimises, with its parts named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.dictionaries.features import Features, count_active
from mechscope.model.precision import at_least_float32


@dataclass(frozen=True)
class DeadFeatures:
    """Features that have not been active for long, and the loss that is to bring them back (Gao et al. 2024)."""

    mask: Bool[Tensor, " feature"]
    """Which ones."""
    k: int
    """How many of them together try to reconstruct what the others left over."""
    coefficient: float = 1 / 32
    """Weight of their squared error."""


@dataclass(frozen=True)
class Loss:
    """A batch's loss. Everything is in the space of training: scaled, and normalised if the config says so."""

    total: Float[Tensor, ""]
    """The sum of the parts."""
    parts: Mapping[str, Tensor]
    """Each as it enters the total: "mse" (squared error, summed over d_out, mean over examples), and what the
    architecture adds: "l1", "l0", "gate", "auxiliary", "mse_first_64" …"""
    features: Features
    """Feature activations, written out or sparse."""
    reconstruction: Float[Tensor, "batch d_out"]
    """What was written."""
    target: Float[Tensor, "batch d_out"]
    """What should have been."""

    @property
    def l0(self) -> float:
        """Active features an example, mean over the batch."""
        return float(count_active(self.features).mean())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained in this batch: 0 is perfect, predicting the batch's mean gives 1; NaN where
        nothing varies."""
        target = at_least_float32(self.target.detach())
        left = (at_least_float32(self.reconstruction.detach()) - target).square().sum()
        there = (target - target.mean(0)).square().sum()
        return float(left / there) if there > 0 else float("nan")


def squared_error(y: Float[Tensor, "batch d_out"], target: Float[Tensor, "batch d_out"]) -> Float[Tensor, ""]:
    """Summed over the width, mean over the batch; in float32 if the dictionary is in half precision."""
    return (at_least_float32(y) - at_least_float32(target)).square().sum(-1).mean()


def total(parts: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """The sum of named parts."""
    values = list(parts.values())
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result
