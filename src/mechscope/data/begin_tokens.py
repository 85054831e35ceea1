"""Add or remove the beginning-of-sequence (BOS) token of tokenizers, texts and tokens."""

from __future__ import annotations

import copy
from typing import Any

import torch


def get_tokenizer_with_bos(tokenizer: Any) -> Any:
    """A tokenizer that starts every text with the beginning-of-sequence token.

    Returns the tokenizer itself if it already does so or has no such token, otherwise a changed copy.

    Raises:
        TypeError: for a tokenizer that is not built on the `tokenizers` library.
    """
    bos = tokenizer.bos_token
    if bos is None or list(tokenizer.encode(""))[:1] == [tokenizer.bos_token_id]:
        return tokenizer
    from tokenizers.processors import Sequence, TemplateProcessing

    with_bos = copy.deepcopy(tokenizer)
    backend: Any = getattr(with_bos, "backend_tokenizer", None) or getattr(with_bos, "backend", None)
    if not hasattr(backend, "post_processor"):
        raise TypeError(
            f"{type(tokenizer).__name__} is not built on the `tokenizers` library, so it cannot be changed to start "
            "texts with a token; pass prepend_bos=True to the model instead."
        )
    adds_bos = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    before = backend.post_processor
    backend.post_processor = adds_bos if before is None else Sequence([before, adds_bos])
    if hasattr(with_bos, "prepends_bos"):
        with_bos.prepends_bos = True
    return with_bos


def get_input_with_manually_prepended_bos(bos_token: Any, input: str | list[str]) -> str | list[str]:
    """Prepend the beginning-of-sequence token to a text, or to each of several texts.

    Args:
        bos_token: the token, or (as in release 2.x) a tokenizer that has one.

    >>> get_input_with_manually_prepended_bos("<s>", ["a", "b"])
    ['<s>a', '<s>b']
    """
    bos = bos_token if isinstance(bos_token, str) else bos_token.bos_token
    return bos + input if isinstance(input, str) else [bos + text for text in input]


def get_tokens_with_bos_removed(tokenizer: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Remove the beginning-of-sequence token from each row of tokens: [batch pos] → [batch pos-1].

    With padding on the left, each row is searched for the token. If the tokenizer pads with the same token, the last
    of the leading ones is removed.

    Raises:
        ValueError: for a row without such a token.
    """
    if getattr(tokenizer, "padding_side", "right") == "right":
        return tokens[..., 1:]
    bos, pad = tokenizer.bos_token_id, tokenizer.pad_token_id
    rows = tokens if tokens.ndim == 2 else tokens[None]
    if bos == pad:
        leading = (rows == pad).cumprod(-1).sum(-1)
        where = leading - 1
    else:
        where = (rows == bos).int().argmax(-1)
    found = rows.gather(1, where.clamp(min=0)[:, None])[:, 0] == bos
    if not bool(found.all()):
        row = int((~found).nonzero()[0])
        raise ValueError(f"row {row} has no beginning-of-sequence token ({bos}).")
    keep = torch.ones_like(rows, dtype=torch.bool).scatter(1, where[:, None], False)
    left = rows[keep].view(len(rows), -1)
    return left if tokens.ndim == 2 else left[0]
