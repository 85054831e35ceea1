"""How much context helps: losses token by token, and two numbers made of them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.model.transformer import HookedTransformer


def token_losses(model: HookedTransformer, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos-1"]:
    """Cross-entropy of each next token, in nats."""
    with torch.no_grad():
        return model(tokens, return_type="loss", loss_per_token=True)


def repeated_loss(losses: Float[Tensor, "batch predicted"], half: int) -> float:
    """Mean loss in nats on the second copy of the block, from its second token on (the first is a surprise)."""
    return float(losses[:, half + 1 :].mean())


def in_context_score(losses: Float[Tensor, "batch predicted"], share: float = 0.25) -> float:
    """Mean loss on the last quarter of a sequence minus that on the first, in nats: negative where context helps.

    Source: Olsson et al. (2022), who compare tokens 500 and 50 of longer sequences.
    """
    count = max(1, round(losses.shape[1] * share))
    return float(losses[:, -count:].mean() - losses[:, :count].mean())
