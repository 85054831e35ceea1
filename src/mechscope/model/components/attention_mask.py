"""Which queries may attend to which keys; built once per forward pass and used by every layer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Shaped

from mechscope.model.padding import real_positions


class AttentionMask:
    """The keys that each query may attend to.

    Args:
        query_length: the number of positions that are computed.
        key_length: the number of keys, cached ones included.
        padding: 0 where a token is padding [batch key]; None if there is no padding.
        causal: whether queries may not attend to later keys.
        device: where the mask is built.
        query_positions: the positions of the queries [query] or [batch query]; None means the last ones.
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
        """The distance from each query back to each key in real tokens [query key]; negative for later keys.

        [batch query key] if positions differ between examples, or if there is padding between real tokens.
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
        """Whether padding follows a real token. (Padding before a text shifts its queries and keys equally.)"""
        return self.padding is not None and bool((self.padding[:, 1:] < self.padding[:, :-1]).any())

    def is_plain_causal(self, window: int | None) -> bool:
        """Whether this is exactly the lower triangle, which the fused kernel has built in."""
        return (
            self.causal
            and self.padding is None
            and self.query_positions is None
            and self.query_length == self.key_length
            and (window is None or window >= self.key_length)
        )

    def allowed(self, window: int | None) -> Bool[torch.Tensor, "batch 1 query key"] | None:
        """True where a query may attend to a key [batch or 1, 1, query, key]; None means everywhere.

        Args:
            window: how many positions a query attends to, its own included; None means all.
        """
        if window is not None and window >= self.key_length:
            window = None
        if window not in self._allowed:
            self._allowed[window] = self._build(window)
        return self._allowed[window]

    def _build(self, window: int | None) -> torch.Tensor | None:
        parts = []
        only_last = self.query_positions is None and self.query_length == 1  # it may attend to every key
        if self.causal and not only_last:
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
    """[query key] or [batch query key] -> [batch or 1, 1, query, key]"""
    return rule[None, None] if rule.ndim == 2 else rule[:, None]
