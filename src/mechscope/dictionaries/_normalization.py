"""Normalize each activation vector before a dictionary reads it, and undo that in the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.config import Normalize

# As in the published dictionaries that were trained with a layer norm: added to the deviation, not to the variance.
EPSILON = 1e-5


@dataclass(frozen=True)
class Normalized:
    """Normalized vectors, and the numbers that undo the normalization."""

    z: Float[Tensor, "*batch d_in"]
    """The normalized vectors."""
    shift: Float[Tensor, "*batch 1"] | None
    """Added by `undo`."""
    factor: Float[Tensor, "*batch 1"] | None
    """Multiplied by `undo`."""

    def undo(self, y: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """Turn a reconstruction of `z` into one of the original vectors."""
        if self.factor is not None:
            y = y * self.factor
        return y if self.shift is None else y + self.shift


def normalize(x: Float[Tensor, "*batch d_in"], how: Normalize) -> Normalized:
    """Leave each vector unchanged, scale it to length √d_in, or give it mean 0 and (unbiased) standard deviation 1."""
    if how == "none":
        return Normalized(x, None, None)
    if how == "constant_norm":
        length = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        # A vector of zeros has no direction: it stays zero, and the output is scaled back to length 0.
        return Normalized(x / length.masked_fill(length == 0, 1.0), None, length)
    mean = x.mean(dim=-1, keepdim=True)
    # The unbiased deviation of a single number is undefined; it counts as 0.
    variance = (x - mean).var(dim=-1, keepdim=True) if x.shape[-1] > 1 else torch.zeros_like(mean)
    constant = variance == 0
    # A square root has no gradient at 0: a constant input gets gradient 0 instead of NaN.
    deviation = variance.masked_fill(constant, 1.0).sqrt().masked_fill(constant, 0.0)
    return Normalized((x - mean) / (deviation + EPSILON), mean, deviation)
