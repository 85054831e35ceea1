"""The context of a forward pass, which all blocks share: tokens, mask and positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int

from mechscope.arguments import brief_repr
from mechscope.model.components.attention_mask import AttentionMask


@dataclass(frozen=True)
class PassContext:
    """Tokens, mask and positions of one forward pass.

    The model makes one for each pass (see `HookedTransformer.start_pass`); `window` selects a part of it, and can
    repeat it.
    """

    mask: AttentionMask
    """Which queries may attend to which keys."""
    offset: int = 0
    """How many positions came before those that are computed (their keys are in a key/value cache)."""
    shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None = None
    """The position embedding that a shortformer model adds to the input of queries and keys."""
    tokens: Int[torch.Tensor, "batch pos"] | None = None
    """The tokens at the computed positions, if known."""

    __repr__ = brief_repr

    @cached_property
    def positions(self) -> Int[torch.Tensor, "batch pos"] | None:
        """The position of each computed token among its row's real tokens; None if that is its index."""
        known = self.mask.positions
        return None if known is None else known[:, self.offset :]

    @cached_property
    def query_positions(self) -> Int[torch.Tensor, "rows query"] | None:
        """The `positions` of the queries, if only some positions have queries."""
        where = self.mask.query_positions
        if where is None:
            return self.positions
        where = where if where.ndim == 2 else where[None]
        known = self.mask.positions
        return where if known is None else known.gather(1, where.expand(len(known), -1))

    def at_queries(self, values: Float[torch.Tensor, "batch pos *rest"]) -> torch.Tensor:
        """Select the positions that have queries: [batch pos ...] -> [batch query ...]"""
        where = self.mask.query_positions
        if where is None:
            return values
        where = where - self.offset
        if where.ndim == 1:
            return values[:, where]
        return values[torch.arange(len(where), device=where.device)[:, None], where]

    def window(
        self, window: range, copies: int = 1, queries: Int[torch.Tensor, "*batch query"] | None = None
    ) -> PassContext:
        """The context for some positions of the pass, for a batch that is repeated `copies` times.

        Args:
            window: the positions that are computed; keys and values of earlier ones come from a key/value cache.
            copies: how many runs of the same rows are computed together.
            queries: the positions of the queries [query] or [batch query], if not all of the window.
        """
        whole = self.mask
        if queries is not None and queries.ndim == 2:
            queries = repeat_rows(queries, copies)
        mask = AttentionMask(
            len(window) if queries is None else queries.shape[-1],
            window.stop,
            padding=None if whole.padding is None else repeat_rows(whole.padding[:, : window.stop], copies),
            causal=whole.causal,
            device=whole.device,
            query_positions=queries,
        )

        def cut(values: torch.Tensor | None) -> torch.Tensor | None:
            return None if values is None else repeat_rows(values[:, window.start : window.stop], copies)

        return PassContext(mask, window.start, cut(self.shortformer_pos_embed), cut(self.tokens))

    def repeated(self, copies: int) -> PassContext:
        """The context for `copies` runs of the same rows in one batch."""
        return self.window(range(self.offset, self.mask.key_length), copies)


def repeat_rows(values: torch.Tensor, copies: int) -> torch.Tensor:
    """Repeat the whole batch: [batch ...] -> [copies*batch ...]"""
    return values.expand(copies, *values.shape).reshape(copies * values.shape[0], *values.shape[1:])
