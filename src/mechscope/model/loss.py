"""How well logits predict the next token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped

IGNORED = -100


def lm_cross_entropy_loss(
    logits: Float[torch.Tensor, "batch pos d_vocab"],
    tokens: Int[torch.Tensor, "batch pos"],
    attention_mask: Shaped[torch.Tensor, "batch key"] | None = None,
    per_token: bool = False,
) -> Float[torch.Tensor, "*shape"]:
    """Cross-entropy of each next token, in nats.

    Args:
        logits: [batch pos d_vocab]; the last position predicts nothing that is known.
        tokens: [batch pos].
        attention_mask: 0 where a token is padding [batch pos]; predictions of padding, and from it,
            are left out of the mean (and are 0 in `per_token`).
        per_token: give [batch pos-1] and not the mean.
    """
    if logits.shape[:2] != tokens.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and tokens {tuple(tokens.shape)} must agree in batch and positions."
        )
    # The last position is computed and dropped: slicing it off first would copy all the logits.
    nothing = tokens.new_full((len(tokens), 1), IGNORED)
    targets = torch.cat([tokens[:, 1:], nothing], dim=1)
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED
    ).view_as(tokens)[:, :-1]
    if attention_mask is None:
        return losses if per_token else losses.mean()
    mask = attention_mask[:, -tokens.shape[1] :].to(losses.device, torch.bool)
    real = mask[:, :-1] & mask[:, 1:]
    losses = losses * real
    return losses if per_token else losses.sum() / real.sum()


def lm_accuracy(
    logits: Float[torch.Tensor, "batch pos d_vocab"],
    tokens: Int[torch.Tensor, "batch pos"],
    per_token: bool = False,
) -> Shaped[torch.Tensor, "*shape"]:
    """The share of next tokens that have the highest logit; `per_token` gives booleans [batch pos-1]."""
    correct = logits[:, :-1].argmax(-1) == tokens[:, 1:]
    return correct if per_token else correct.float().mean()
