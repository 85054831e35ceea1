"""Which positions of a text count: real tokens, without the first ones and without special tokens.

Attention sees every real token all the same: what is left out is only neither learned from nor measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.model.token_ids import token_ids

ExcludeTokens = bool | Sequence[int] | Tensor
"""True: the tokenizer's special tokens; ids: these tokens; False: none."""


def excluded_ids(model: Any, exclude: ExcludeTokens) -> tuple[int, ...]:
    """The ids of the tokens that are left out.

    Args:
        model: whose tokenizer says what is special (its begin, end and padding tokens, and whatever else it names
            so: all of `tokenizer.all_special_ids`).
        exclude: True for special tokens, ids of tokens, or False.

    Raises:
        ValueError: for special tokens of a model without a tokenizer, or ids that the model lacks.
        TypeError: for what is no token id.
    """
    if exclude is False or exclude is None:
        return ()
    if exclude is True:
        tokenizer: Any = getattr(model, "tokenizer", None)
        if tokenizer is None:
            raise ValueError(
                "this model has no tokenizer that could say which tokens are special: give their ids "
                "(exclude_special_tokens=[…])."
            )
        return tuple(sorted({int(index) for index in tokenizer.all_special_ids}))
    ids = token_ids(exclude, "exclude_special_tokens").flatten().tolist()
    d_vocab: int | None = getattr(getattr(model, "cfg", None), "d_vocab", None)
    if ids and d_vocab is not None and max(ids) >= d_vocab:
        raise ValueError(
            f"exclude_special_tokens has id {max(ids)}; this model knows ids 0 to {d_vocab - 1}."
        )
    return tuple(sorted(set(ids)))


def not_among(tokens: Int[Tensor, "batch pos"], excluded: Sequence[int]) -> Bool[Tensor, "batch pos"]:
    """True at every token that is none of these."""
    if not excluded:
        return torch.ones_like(tokens, dtype=torch.bool)
    return ~torch.isin(tokens, torch.tensor(list(excluded), device=tokens.device))


def counted_positions(
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Tensor | None = None,
    skip_first: int = 0,
    excluded: Sequence[int] = (),
) -> Bool[Tensor, "batch pos"]:
    """True at the positions that count.

    Args:
        attention_mask: True where a token is real [batch pos]; None: everywhere.
        skip_first: this many real tokens at the start of each text are left out, wherever padding puts them.
        excluded: ids of tokens that are left out wherever they stand.

    Raises:
        ValueError: for shapes that do not fit, or a negative skip_first.
    """
    if tokens.ndim != 2 or tokens.is_floating_point():
        raise ValueError(f"tokens are whole numbers [batch pos], not {tokens.dtype} {tuple(tokens.shape)}.")
    if skip_first < 0:
        raise ValueError(f"skip_first is a number of positions, at least 0, not {skip_first}.")
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if attention_mask is not None:
        if attention_mask.shape != tokens.shape:
            raise ValueError(
                f"attention_mask {tuple(attention_mask.shape)} and tokens {tuple(tokens.shape)} must agree."
            )
        mask &= attention_mask.to(mask)
    return mask & (mask.long().cumsum(1) > skip_first) & not_among(tokens, excluded)
