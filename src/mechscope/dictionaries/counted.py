"""Which positions of a batch of tokens a dictionary is trained on, or counted at."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.model.token_batch import Tokens


def known_tokens(
    model: Any, tokens: Int[Tensor, "batch pos"], attention_mask: Bool[Tensor, "batch pos"] | None = None
) -> Tokens:
    """Tokens with which of them are real: as the mask says, or the tokens themselves, or the model's rule for tensors.

    They stay on their device.

    Raises:
        ValueError: for tokens that are not whole numbers [batch pos], or a mask of another shape.
    """
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point() or not len(tokens):
        what = (
            f"{tokens.dtype} {tuple(tokens.shape)}" if isinstance(tokens, Tensor) else type(tokens).__name__
        )
        raise ValueError(f"tokens are ids [batch pos], whole numbers, not {what}.")
    if attention_mask is not None:
        return Tokens(tokens, attention_mask)
    if hasattr(model, "as_tokens"):
        return model.as_tokens(tokens, move_to_device=False)
    return Tokens(tokens)


def counted_positions(tokens: Tokens, skip_first: int = 0) -> Bool[Tensor, "batch pos"]:
    """True at the real tokens of each row but its first `skip_first`, wherever padding stands.

    >>> counted_positions(Tokens([[9, 9, 3, 4], [1, 2, 3, 4]], [[0, 0, 1, 1], [1, 1, 1, 1]]), 1).tolist()
    [[False, False, False, True], [False, True, True, True]]

    Raises:
        ValueError: for a negative `skip_first`, or one that leaves no position.
    """
    if isinstance(skip_first, bool) or not isinstance(skip_first, int) or skip_first < 0:
        raise ValueError(f"skip_first is a number of positions, at least 0, not {skip_first!r}.")
    real = tokens.is_real
    counted = real & (real.long().cumsum(1) > skip_first)
    if not bool(counted.any()):
        raise ValueError(
            f"skip_first={skip_first} leaves no position of tokens {tuple(tokens.shape)} (padding not counted)."
        )
    return counted
