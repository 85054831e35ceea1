"""Attention patterns of known kinds of heads: which keys each query attends to.

Each is a boolean array [batch query key] without keys after the query.

* previous: the position before. The first two queries are omitted, because they have few other keys.
* first: position 0, from the second position on. Attention to it is often a way to do nothing (an attention sink,
  Xiao et al. 2023).
* same: the query's own position, from the second position on.
* duplicate: earlier copies of the query's own token.
* induction: the tokens that followed earlier copies of the query's token (Olsson et al. 2022, "prefix matching"): in
  the second block of a repeated sequence, the token after the first occurrence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Int

from mechscope.model.token_batch import Tokens, plain_ids

Target = str | torch.Tensor | Callable[[torch.Tensor], torch.Tensor]


def previous(tokens: Int[torch.Tensor, "batch pos"]) -> Bool[torch.Tensor, "batch query key"]:
    """The position before; queries 0 and 1 are omitted."""
    target = _diagonal(tokens, -1)
    target[:, :2] = False
    return target


def first(tokens: Int[torch.Tensor, "batch pos"]) -> Bool[torch.Tensor, "batch query key"]:
    """Position 0, from every later query."""
    target = torch.zeros_like(_diagonal(tokens, 0))
    target[:, 1:, 0] = True
    return target


def same(tokens: Int[torch.Tensor, "batch pos"]) -> Bool[torch.Tensor, "batch query key"]:
    """The query's own position, except for the first query."""
    target = _diagonal(tokens, 0)
    target[:, 0] = False
    return target


def duplicate(tokens: Int[torch.Tensor, "batch pos"]) -> Bool[torch.Tensor, "batch query key"]:
    """Earlier copies of the query's token."""
    return (tokens[:, :, None] == tokens[:, None, :]).tril(-1)


def induction(tokens: Int[torch.Tensor, "batch pos"]) -> Bool[torch.Tensor, "batch query key"]:
    """The tokens after earlier copies of the query's token, except the query itself."""
    target = torch.zeros_like(_diagonal(tokens, 0))
    target[:, :, 1:] = duplicate(tokens)[:, :, :-1]
    return target.tril(-1)


def _diagonal(tokens: torch.Tensor, offset: int) -> torch.Tensor:
    batch, length = tokens.shape
    ones = torch.ones(length, length, dtype=torch.bool, device=tokens.device)
    return (ones.tril(offset) & ones.triu(offset)).expand(batch, -1, -1).clone()


TARGETS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "previous": previous,
    "duplicate": duplicate,
    "induction": induction,
    "first": first,
    "same": same,
}
"""Patterns by name."""


def make_target(pattern: Target, tokens: Int[torch.Tensor, "batch pos"]) -> torch.Tensor:
    """A pattern for these tokens as weights [batch query key].

    Named patterns count only real tokens: padding is neither query nor key, and does not separate tokens.

    Args:
        pattern: a name from `TARGETS`, a matrix [query key] or [batch query key], or a function of the tokens
            [batch pos] that returns one; booleans, or weights from 0 to 1.

    Raises:
        KeyError: for an unknown name.
        ValueError: for another shape, or weights outside 0 to 1.
    """
    if isinstance(pattern, str):
        if pattern not in TARGETS:
            raise KeyError(
                f"no pattern is called {pattern!r}; choose from {', '.join(TARGETS)}, or give a matrix."
            )
        target = _on_real_tokens(TARGETS[pattern], tokens)
    else:
        found: Any = pattern(tokens) if callable(pattern) else pattern
        target = torch.as_tensor(found, device=tokens.device)
        batch, length = tokens.shape
        if target.ndim == 2:
            target = target.expand(batch, -1, -1)
        if tuple(target.shape) != (batch, length, length):
            raise ValueError(
                f"a pattern for tokens {tuple(tokens.shape)} must be [query key] {(length, length)}, with or without a "
                f"batch axis before it, not {tuple(target.shape)}."
            )
        weights = target.to(torch.float32)
        if not bool(((weights >= 0) & (weights <= 1)).all()):
            raise ValueError("the weights of a pattern must lie between 0 and 1.")
    return target


def _on_real_tokens(
    target: Callable[[torch.Tensor], torch.Tensor], tokens: Int[torch.Tensor, "batch pos"]
) -> Bool[torch.Tensor, "batch query key"]:
    """The pattern of each row's real tokens, as if there were no padding."""
    if not isinstance(tokens, Tokens) or tokens.attention_mask is None:
        return target(plain_ids(tokens))
    real = tokens.is_real
    # Real tokens are moved to the front in order; then the pattern is moved back to their positions.
    order = (~real).to(torch.int8).sort(dim=1, stable=True).indices
    found = target(tokens.ids.gather(1, order))
    back = order.argsort(1)
    found = found.gather(1, back[:, :, None].expand_as(found)).gather(2, back[:, None, :].expand_as(found))
    return found & real[:, :, None] & real[:, None, :]
