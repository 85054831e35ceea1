"""Who may attend to whom: built once for a forward pass, read by every layer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Shaped

from mechscope.model.token_batch import real_positions


class AttentionMask:
    """The positions that each query may read.

    Args:
        query_length: positions being computed.
        key_length: positions in reach, earlier cached ones included.
        padding: [batch key_length], 0 where a token is padding; None where none is.
        causal: whether later positions are hidden.
        query_positions: where the queries stand, [query] or [batch query]; None means last.
    """

    def __init__(
        self,
        query_length: int,
        key_length: int,
        *,
        padding: Shaped[torch.Tensor, "batch key"] | None,
        causal: bool,
        device: torch.device,
        query_positions: Int[torch.Tensor, "*batch query"] | None = None,
    ) -> None:
        self.query_length = query_length
        self.key_length = key_length
        self.padding = None if padding is None else padding.to(device=device, dtype=torch.bool)
        self.causal = causal
        self.device = device
        self.query_positions = query_positions
        self._allowed: dict[int | None, torch.Tensor | None] = {}
        self._distance: torch.Tensor | None = None
        self._positions: torch.Tensor | None = None

    @property
    def positions(self) -> Int[torch.Tensor, "batch key"] | None:
        """The position of each token among its row's real tokens; None if that is its index."""
        if self._positions is None and self.padding is not None:
            self._positions = real_positions(self.padding)
        return self._positions

    @property
    def distance(self) -> Int[torch.Tensor, "*batch query key"]:
        """How many real tokens each key is before each query [query_pos key_pos]; negative for later keys.

        [batch query_pos key_pos] if positions differ between examples or padding is between real tokens.
        """
        if self._distance is None:
            keys = torch.arange(self.key_length, device=self.device)
            queries = self.query_positions
            if queries is None:
                queries = keys[self.key_length - self.query_length :]
            if self._padding_inside():
                assert self.positions is not None
                keys = self.positions
                queries = keys.gather(1, queries.expand(len(keys), -1))
            self._distance = queries[..., None] - keys[..., None, :]
        return self._distance

    def _padding_inside(self) -> bool:
        """Whether padding follows a real token. Padding before the text moves queries and keys alike."""
        return self.padding is not None and bool((self.padding[:, 1:] < self.padding[:, :-1]).any())

    def is_plain_causal(self, window: int | None) -> bool:
        """Whether this is the lower triangle and nothing else, which the fused kernel has built in."""
        return (
            self.causal
            and self.padding is None
            and self.query_positions is None
            and self.query_length == self.key_length
            and (window is None or window >= self.key_length)
        )

    def allowed(self, window: int | None) -> Bool[torch.Tensor, "batch 1 query key"] | None:
        """True where a query may read a key [batch or 1, 1, query_pos, key_pos]; None means everywhere."""
        if window is not None and window >= self.key_length:
            window = None
        if window not in self._allowed:
            self._allowed[window] = self._build(window)
        return self._allowed[window]

    def _build(self, window: int | None) -> torch.Tensor | None:
        parts = []
        alone = self.query_positions is None and self.query_length == 1  # the last position sees all
        if self.causal and not alone:
            parts.append(_with_heads(self.distance >= 0))
        if window is not None:
            near = self.distance < window if self.causal else self.distance.abs() < window
            parts.append(_with_heads(near))
        if self.padding is not None:
            parts.append(self.padding[:, None, None, :])
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:
            allowed = allowed & part
        return allowed


def _with_heads(rule: torch.Tensor) -> torch.Tensor:
    """[query key] or [batch query key] as [batch or 1, 1, query, key]."""
    return rule[None, None] if rule.ndim == 2 else rule[:, None]
