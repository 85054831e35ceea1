"""Which positions of a text a dictionary is trained and measured on: no padding, no special tokens, not the first ones.

Attention still sees every real token; only training and measurements skip the other positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.arguments import is_whole_number
from mechscope.dictionaries.trained_positions import TrainedPositions
from mechscope.model.token_batch import TextOrIds, Tokens
from mechscope.model.token_ids import token_ids

ExcludeTokens = bool | Sequence[int] | Tensor
"""True: the tokenizer's special tokens; ids: these tokens; False: none."""


EXCLUDED = "exclude_special_tokens"
"""Key, in a dictionary's metadata, of the tokens that were excluded from its training: true, false, or ids."""


def excluded_ids(model: Any, exclude: ExcludeTokens | None, dictionary: Any = None) -> tuple[int, ...]:
    """The ids of the tokens to exclude.

    Args:
        model: its tokenizer defines the special tokens (`tokenizer.all_special_ids`: begin, end, padding and others).
        exclude: True for special tokens, ids of tokens, or False; None uses the dictionary's metadata.
        dictionary: the dictionary whose metadata is used if `exclude` is None.

    Raises:
        ValueError: if special tokens are requested without a tokenizer, or for ids that the model lacks.
        TypeError: for anything that is not a token id.
    """
    if exclude is None:
        metadata: Any = getattr(dictionary, "metadata", None) or {}
        exclude = metadata.get(EXCLUDED) or False
    if exclude is False:
        return ()
    if exclude is True:
        tokenizer: Any = getattr(model, "tokenizer", None)
        if tokenizer is None:
            raise ValueError(
                "this model has no tokenizer, so its special tokens are unknown: give their ids "
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


def is_not_excluded(tokens: Int[Tensor, "batch pos"], excluded: Sequence[int]) -> Bool[Tensor, "batch pos"]:
    """True at every token that is not excluded."""
    if not excluded:
        return torch.ones_like(tokens, dtype=torch.bool)
    return ~torch.isin(tokens, torch.tensor(list(excluded), device=tokens.device))


def tokens_with_mask(
    model: Any,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
) -> Tokens:
    """Tokens with their attention mask: the given one, the tokens' own, or the model's rule for plain tensors.

    Text is read as `model.to_tokens` reads it. Tokens stay on their device.

    Raises:
        ValueError: for tokens that are not whole numbers [batch pos], a mask of the wrong shape, or text without a
            tokenizer.
    """
    if not isinstance(tokens, Tensor) and hasattr(model, "as_tokens"):
        tokens = model.as_tokens(tokens, move_to_device=False)
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point() or not len(tokens):
        what = (
            f"{tokens.dtype} {tuple(tokens.shape)}" if isinstance(tokens, Tensor) else type(tokens).__name__
        )
        raise ValueError(f"tokens must be ids, whole numbers [batch pos], not {what}.")
    if attention_mask is not None:
        return Tokens(tokens, attention_mask)
    if hasattr(model, "as_tokens"):
        return model.as_tokens(tokens, move_to_device=False)
    return Tokens(tokens)


def position_mask(
    tokens: Tokens,
    skip_first: int = 0,
    excluded: Sequence[int] = (),
    positions: TrainedPositions | None = None,
) -> Bool[Tensor, "batch pos"]:
    """True at the positions that are used: real tokens, except the first ones of each text and the excluded ones.

    >>> position_mask(Tokens([[9, 9, 3, 4], [1, 2, 3, 4]], [[0, 0, 1, 1], [1, 1, 1, 1]]), 1).tolist()
    [[False, False, False, True], [False, True, True, True]]

    Args:
        skip_first: how many real tokens to exclude at the start of each text.
        excluded: ids of tokens to exclude at any position.
        positions: the positions that the dictionary was trained on; None means all.

    Raises:
        ValueError: for a negative `skip_first`, or if no position is left.
    """
    if not is_whole_number(skip_first, least=0):
        raise ValueError(f"skip_first is a number of positions, at least 0, not {skip_first!r}.")
    real = tokens.is_real
    used = real & (real.long().cumsum(1) > skip_first) & is_not_excluded(tokens.ids, excluded)
    if positions is not None:
        used &= positions.within(real)
    if not bool(used.any()):
        without = f" and without the tokens {list(excluded)}" if excluded else ""
        without += f" and positions {positions} (the dictionary's)" if positions is not None else ""
        raise ValueError(
            f"skip_first={skip_first}{without} leaves no position to use in {tuple(tokens.shape)} tokens (padding is "
            "never used)."
        )
    return used
