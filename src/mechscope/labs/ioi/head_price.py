"""What a twin pays for every head that it keeps: a price under which heads that do little fall silent.

Left alone, a training spreads each step over all the heads that there are, so that hardly any is left outside of a
circuit, and "another circuit of the same size" is nearly the same one. The price is the square root of how much a head
can write. A root is steepest at nothing, so one head that does the whole work is cheaper than two that do half of it
each (under a plain sum of norms, the group lasso, both cost the same). It says nothing about which head does what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TINY = 1e-6
"""Added to the strengths, for a root has no slope at nothing."""


def head_strengths(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """Frobenius norm of W_V times that of W_O of each head: a bound on how much it can write."""
    return torch.stack(
        [
            block.attn.W_V.flatten(1).norm(dim=1) * block.attn.W_O.flatten(1).norm(dim=1)
            for block in model.blocks
        ]
    )


def price_of_heads(model: HookedTransformer) -> Float[Tensor, ""]:
    """The sum over all heads of the square root of their strength."""
    return ((head_strengths(model) + TINY) ** 0.5).sum()
