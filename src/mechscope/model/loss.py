"""How well logits predict the next token."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def lm_cross_entropy_loss(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    per_token: bool = False,
) -> torch.Tensor:
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
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    if attention_mask is None:
        return losses if per_token else losses.mean()
    mask = attention_mask[:, -tokens.shape[1] :].to(losses.device, torch.bool)
    real = mask[:, :-1] & mask[:, 1:]
    losses = losses * real
    return losses if per_token else losses.sum() / real.sum()


def lm_accuracy(logits: torch.Tensor, tokens: torch.Tensor, per_token: bool = False) -> torch.Tensor:
    """The share of next tokens that have the highest logit; `per_token` gives booleans [batch pos-1]."""
    correct = logits[:, :-1].argmax(-1) == tokens[:, 1:]
    return correct if per_token else correct.float().mean()
