"""The null of every dictionary: activations with each dimension's own distribution, and nothing shared."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def shuffle_dimensions(
    x: Float[Tensor, "batch d_in"], generator: torch.Generator
) -> Float[Tensor, "batch d_in"]:
    """Each dimension's values in an order of its own."""
    order = torch.rand(x.shape, generator=generator).argsort(0).to(x.device)
    return x.gather(0, order)
