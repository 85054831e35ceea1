"""Padding: which tokens of a batch are real, and what their positions are."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Int

from mechscope.arguments import checked_arguments


@checked_arguments
def get_attention_mask(
    tokenizer: Any,
    tokens: Int[torch.Tensor, "*batch pos"],
    prepend_bos: bool,
    *,
    padding_side: Literal["left", "right"] | None = None,
) -> Int[torch.Tensor, "*batch pos"]:
    """1 where a token is real and 0 where it is padding [batch pos], int64.

    Padding is the unbroken run of padding tokens at the tokenizer's padding side; the same token inside a text is
    real. If the padding token is also the beginning-of-sequence token, `prepend_bos` decides whether the one directly
    before the text is real.

    Args:
        tokenizer: has pad_token_id, bos_token_id and padding_side.
        tokens: token ids [batch pos] or [pos].
        prepend_bos: whether the texts start with the beginning-of-sequence token.
        padding_side: where the padding is; None means the tokenizer's padding side.

    Raises:
        ValueError: for a tokenizer without a padding token, or tokens of another shape.
    """
    if tokenizer is None or tokenizer.pad_token_id is None:
        what = "there is no tokenizer" if tokenizer is None else "this tokenizer has no padding token"
        raise ValueError(f"{what}, so padding cannot be recognised; pass an attention_mask.")
    if tokens.ndim not in (1, 2):
        raise ValueError(f"tokens have shape [batch pos] or [pos], not {tuple(tokens.shape)}.")
    side = padding_side or getattr(tokenizer, "padding_side", "right")
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', not {side!r}.")
    is_real = tokens != tokenizer.pad_token_id
    if side == "right":
        # A position is real if it, or a later one, holds something other than padding.
        mask = is_real.flip(-1).cummax(-1).values.flip(-1)
    else:
        mask = is_real.cummax(-1).values
    if prepend_bos and tokenizer.bos_token_id == tokenizer.pad_token_id:
        if side == "right":
            mask[..., 0] |= tokens[..., 0] == tokenizer.bos_token_id
        else:
            # The last of the leading padding tokens, even if the whole row is padding.
            mask[..., :-1] |= mask[..., 1:].clone()
            mask[..., -1] = True
    return mask.to(torch.int64)


@checked_arguments
def get_offset_position_ids(past_kv_pos_offset: int, attention_mask: torch.Tensor) -> torch.Tensor:
    """The position of each token among its row's real tokens, without the first `past_kv_pos_offset` [batch pos].

    Args:
        past_kv_pos_offset: how many tokens came before.
        attention_mask: 1 where a token is real, 0 where it is padding [batch all_pos], earlier tokens included.

    Raises:
        ValueError: for more earlier tokens than the mask covers.

    >>> get_offset_position_ids(0, torch.tensor([[0, 0, 1, 1]])).tolist()
    [[0, 0, 0, 1]]
    """
    if not 0 <= past_kv_pos_offset <= attention_mask.shape[-1]:
        raise ValueError(
            f"past_kv_pos_offset is how many tokens came before, 0 to the {attention_mask.shape[-1]} of the mask, not "
            f"{past_kv_pos_offset}."
        )
    return real_positions(attention_mask)[:, past_kv_pos_offset:]


def last_real(mask: Bool[torch.Tensor, "batch pos"]) -> Int[torch.Tensor, " batch"]:
    """The position of each row's last real token [batch]; the last position if none is real.

    >>> last_real(torch.tensor([[True, True, False], [False, True, True]])).tolist()
    [1, 2]
    """
    return mask.shape[-1] - 1 - mask.flip(-1).to(torch.int8).argmax(-1)


def real_positions(
    mask: Bool[torch.Tensor, "*batch pos"] | Int[torch.Tensor, "*batch pos"],
) -> Int[torch.Tensor, "*batch pos"]:
    """The position of each token among its row's real tokens [batch pos].

    Padding has the position of the real token before it, and 0 at the start of a row.
    """
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def padding_between(mask: Bool[torch.Tensor, "batch pos"]) -> bool:
    """Whether any row has padding between two real tokens.

    >>> padding_between(torch.tensor([[False, True, True, False]]))
    False
    >>> padding_between(torch.tensor([[True, False, True]]))
    True
    """
    seen, to_come = mask.cummax(1).values, mask.flip(1).cummax(1).values.flip(1)
    return bool((~mask & seen & to_come).any())
