"""How well logits predict the next token: cross-entropy and accuracy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer, Shaped

from mechscope.arguments import checked_arguments
from mechscope.model.gradients import values_are_known
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import Tokens, plain_ids, plain_mask
from mechscope.model.token_ids import token_ids

IGNORED = -100


@checked_arguments
def lm_cross_entropy_loss(
    logits: Float[torch.Tensor, "batch pos d_vocab"],
    tokens: Shaped[torch.Tensor, "*batch_and_pos"],
    attention_mask: Shaped[torch.Tensor, "batch key"] | None = None,
    per_token: bool = False,
    *,
    across_padding: bool = False,
) -> Float[torch.Tensor, "*shape"]:
    """Cross-entropy of each next token, in nats; computed in float32 for logits in bfloat16 or float16.

    Args:
        logits: [batch pos d_vocab]; those of the last position are not used.
        tokens: [batch pos].
        attention_mask: 0 where a token is padding [batch pos]; predictions of padding, or from padding, do not count
            (they are 0 in `per_token`). None uses the mask of the tokens, if they are `Tokens`.
        per_token: return the loss of each token from the second on [batch pos-1], and not their mean.
        across_padding: if there is padding between two real tokens, count the prediction of the second from the first,
            as a model's forward pass does; otherwise the second does not count.

    Raises:
        TypeError: for tokens that are not whole numbers.
        ValueError: for shapes that do not agree, a token that has no logit (d_vocab_out below d_vocab), or a mean over
            no predictions.

    >>> lm_cross_entropy_loss(torch.zeros(1, 3, 5), torch.tensor([[0, 1, 2]]))  # ln 5
    tensor(1.6094)
    """
    _check_agreement(logits, tokens)
    if attention_mask is None and isinstance(tokens, Tokens):
        attention_mask = tokens.attention_mask
    tokens = token_ids(plain_ids(tokens), negative=True)
    real = None
    if attention_mask is not None:
        mask = plain_mask(attention_mask)[:, -tokens.shape[1] :].to(logits.device, torch.bool)
        real = mask[:, :-1] & mask[:, 1:]
        if across_padding:
            logits, real = _from_real_tokens(logits, mask)
    if not per_token:
        _check_anything_to_predict(tokens, real)
    # The last position is dropped afterwards: slicing it off first would copy all the logits.
    nothing = tokens.new_full((len(tokens), 1), IGNORED)
    targets = torch.cat([tokens[:, 1:], nothing], dim=1)
    if real is not None:
        targets[:, :-1].masked_fill_(~real, IGNORED)
    check_predictable(targets, logits.shape[-1])
    losses = F.cross_entropy(
        at_least_float32(logits).flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED
    ).view_as(tokens)[:, :-1]
    if per_token:
        return losses
    return losses.mean() if real is None else losses.sum() / real.sum()


def _check_agreement(logits: torch.Tensor, tokens: torch.Tensor) -> None:
    """Check that logits are [batch pos d_vocab] and tokens [batch pos] of the same text."""
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and tokens {tuple(tokens.shape)} must agree in batch and positions."
        )
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise TypeError(f"token ids are whole numbers, not {tokens.dtype}.")


def _from_real_tokens(
    logits: Float[torch.Tensor, "batch pos d_vocab"], mask: Bool[torch.Tensor, "batch pos"]
) -> tuple[Float[torch.Tensor, "batch pos d_vocab"], Bool[torch.Tensor, "batch prediction"]]:
    """At each position the logits of the last real token, and which next tokens are predicted from a real token."""
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    source = torch.where(mask, positions, -1).cummax(1).values
    real = mask[:, 1:] & (source[:, :-1] >= 0)
    if bool((source == positions)[:, :-1][real].all()):
        return logits, real  # no padding between real tokens, so the logits need no copy
    rows = torch.arange(len(mask), device=mask.device)[:, None]
    return logits[rows, source.clamp(min=0)], real


def _check_anything_to_predict(
    tokens: Integer[torch.Tensor, "batch pos"], real: Bool[torch.Tensor, "batch prediction"] | None = None
) -> None:
    """Check that there is a prediction: a mean over none would be NaN."""
    if tokens[:, 1:].numel() == 0:
        raise ValueError(
            f"there is no next token to predict in tokens of shape {tuple(tokens.shape)}: a mean loss or accuracy "
            "needs a row with at least two tokens."
        )
    if real is not None and not bool(real.any()):
        raise ValueError(
            f"there is no next token to predict: the attention mask leaves fewer than two real tokens in each of the "
            f"{len(tokens)} rows."
        )


def check_predictable(tokens: Integer[torch.Tensor, "*shape"], d_vocab_out: int) -> None:
    """Check that every token has a logit.

    Raises:
        ValueError: for an id of d_vocab_out or more.
    """
    if not values_are_known(tokens):
        return
    unknown = tokens[tokens >= d_vocab_out]
    if len(unknown):
        raise ValueError(
            f"token id {int(unknown[0])} cannot be scored: this model predicts ids 0 to {d_vocab_out - 1} "
            "(d_vocab_out), though it may read more. For a loss, leave such tokens out with an attention mask, or "
            "compute it from the logits of the other positions."
        )


@checked_arguments
def lm_accuracy(
    logits: Float[torch.Tensor, "batch pos d_vocab"],
    tokens: Shaped[torch.Tensor, "*batch_and_pos"],
    per_token: bool = False,
) -> Shaped[torch.Tensor, "*shape"]:
    """The share of next tokens that have the highest logit.

    The padding of `Tokens` does not count.

    Args:
        logits: [batch pos d_vocab].
        tokens: [batch pos].
        per_token: return whether each next token has the highest logit [batch pos-1], False for padding.

    Raises:
        TypeError: for tokens that are not whole numbers.
        ValueError: for shapes that do not agree, or no next token at all.
    """
    _check_agreement(logits, tokens)
    real = tokens.attention_mask if isinstance(tokens, Tokens) else None
    counted = None if real is None else (real[:, :-1] & real[:, 1:]).to(logits.device)
    if not per_token:
        _check_anything_to_predict(tokens, counted)
    correct = logits[:, :-1].argmax(-1) == plain_ids(tokens)[:, 1:]
    if counted is None:
        return correct if per_token else correct.float().mean()
    return correct & counted if per_token else (correct & counted).sum() / counted.sum()
