"""Tokens as text, for results and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mechscope.arguments import visible_token


def token_texts(model: Any, tokens: torch.Tensor | Sequence[int]) -> list[str]:
    """Each token as text; as a number if the model has no tokenizer."""
    ids = torch.as_tensor(tokens).reshape(-1).tolist()
    if model.tokenizer is None:
        return [str(token) for token in ids]
    return [model.to_single_str_token(token) for token in ids]


def visible_texts(model: Any, tokens: torch.Tensor | Sequence[int]) -> tuple[str, ...] | None:
    """Each token as text with visible spaces and line breaks; None if the model has no tokenizer."""
    if getattr(model, "tokenizer", None) is None:
        return None
    return tuple(visible_token(text) for text in token_texts(model, tokens))
