"""What is measured of a model at one moment: which head looks where, and how much context helps."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.model.transformer import HookedTransformer


def patterns(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layer batch head query key"]:
    """Every head's attention pattern."""
    with torch.no_grad():
        _, cache = model.run_with_cache(
            tokens, return_type=None, names_filter=lambda name: name.endswith("hook_pattern")
        )
    return torch.stack([cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)])


def prefix_scores(
    pattern: Float[Tensor, "layer batch head query key"], half: int
) -> Float[Tensor, "layer head"]:
    """Mean attention from a token's second occurrence to the token after its first one.

    For sequences of BOS and a block of `half` tokens twice: from query q of the second copy that key is
    q - (half - 1). Source: Olsson et al. (2022), "prefix matching score".
    """
    _check(pattern, half)
    # The diagonal begins at query half - 1; the second copy begins at query half + 1.
    return pattern.diagonal(1 - half, -2, -1)[..., 2:].mean((1, 3))


def duplicate_scores(
    pattern: Float[Tensor, "layer batch head query key"], half: int
) -> Float[Tensor, "layer head"]:
    """Mean attention from a token's second occurrence to its first one."""
    _check(pattern, half)
    return pattern.diagonal(-half, -2, -1)[..., 1:].mean((1, 3))


def previous_token_scores(
    pattern: Float[Tensor, "layer batch head query key"],
) -> Float[Tensor, "layer head"]:
    """Mean attention to the position before; the first two queries are left out (they can see little else)."""
    return pattern.diagonal(-1, -2, -1)[..., 1:].mean((1, 3))


def token_losses(model: HookedTransformer, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos-1"]:
    """Cross-entropy of each next token, in nats."""
    with torch.no_grad():
        return model(tokens, return_type="loss", loss_per_token=True)


def repeated_loss(losses: Float[Tensor, "batch pos-1"], half: int) -> float:
    """Mean loss in nats on the second copy of the block, from its second token on (the first is a surprise)."""
    return float(losses[:, half + 1 :].mean())


def in_context_score(losses: Float[Tensor, "batch pos-1"], share: float = 0.25) -> float:
    """Mean loss on the last quarter of a sequence minus that on the first, in nats: negative where context helps.

    Source: Olsson et al. (2022), who compare tokens 500 and 50 of longer sequences.
    """
    count = max(1, round(losses.shape[1] * share))
    return float(losses[:, -count:].mean() - losses[:, :count].mean())


def _check(pattern: Tensor, half: int) -> None:
    if pattern.shape[-1] != 2 * half + 1:
        raise ValueError(
            f"the pattern covers {pattern.shape[-1]} positions; BOS and a block of {half} twice are {2 * half + 1}."
        )
