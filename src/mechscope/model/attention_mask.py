"""Which tokens of a padded batch are real."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Int

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

    Padding is the unbroken run of padding tokens at the tokenizer's padding side; the same token
    inside a text is text. With `prepend_bos`, where one token serves as both, the padding token next to
    the text on its left is the beginning-of-sequence token and stays.

    Args:
        tokenizer: gives pad_token_id, bos_token_id and padding_side.
        tokens: token ids [batch pos] or [pos].
        prepend_bos: whether the texts start with the beginning-of-sequence token.
        padding_side: where padding goes, if not where the tokenizer says.

    Raises:
        ValueError: for a tokenizer without a padding token, or tokens of another shape.
    """
    if tokenizer is None or tokenizer.pad_token_id is None:
        what = "there is no tokenizer" if tokenizer is None else "this tokenizer has no padding token"
        raise ValueError(f"{what}, so padding cannot be told from text; give attention_mask yourself.")
    if tokens.ndim not in (1, 2):
        raise ValueError(f"tokens have shape [batch pos] or [pos], not {tuple(tokens.shape)}.")
    side = padding_side or getattr(tokenizer, "padding_side", "right")
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', not {side!r}.")
    is_real = tokens != tokenizer.pad_token_id
    if side == "right":
        # A position is real if a real token stands there or later.
        mask = is_real.flip(-1).cummax(-1).values.flip(-1)
    else:
        mask = is_real.cummax(-1).values
    if prepend_bos and tokenizer.bos_token_id == tokenizer.pad_token_id:
        if side == "right":
            mask[..., 0] |= tokens[..., 0] == tokenizer.bos_token_id
        else:
            # The last of the leading padding tokens; all of a row's tokens may be such.
            mask[..., :-1] |= mask[..., 1:].clone()
            mask[..., -1] = True
    return mask.to(torch.int64)
