"""A price on heads in the training of a twin, which makes heads that do little fall silent.

Without it, training uses all the heads, so that hardly any are left outside the circuit, and another circuit of the
same size is nearly the same one. The price is the square root of how much a head can write. The root is steepest at
zero, so one head that does all the work is cheaper than two that each do half of it (under a plain sum of norms, the
group lasso, both cost the same). It does not say which head should do what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TINY = 1e-6
"""Added to the strengths, because the slope of the root is infinite at zero."""


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
