"""Who may attend to whom: built once for a forward pass, read by every layer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Shaped


class AttentionMask:
    """The positions that each query may read.

    Args:
        query_length: positions being computed.
        key_length: positions in reach, earlier cached ones included.
        padding: [batch key_length], 0 where a token is padding; None where none is.
        causal: whether later positions are hidden.
    """

    def __init__(
        self,
        query_length: int,
        key_length: int,
        *,
        padding: Shaped[torch.Tensor, "batch key"] | None,
        causal: bool,
        device: torch.device,
    ) -> None:
        self.query_length = query_length
        self.key_length = key_length
        self.padding = None if padding is None else padding.to(device=device, dtype=torch.bool)
        self.causal = causal
        self.device = device
        self._allowed: dict[int | None, torch.Tensor | None] = {}
        self._distance: torch.Tensor | None = None

    @property
    def distance(self) -> Int[torch.Tensor, "query key"]:
        """How far each key lies behind each query [query_pos key_pos]; negative for later keys."""
        if self._distance is None:
            keys = torch.arange(self.key_length, device=self.device)
            queries = keys[self.key_length - self.query_length :]
            self._distance = queries[:, None] - keys
        return self._distance

    def is_plain_causal(self, window: int | None) -> bool:
        """Whether this is the lower triangle and nothing else, which the fused kernel has built in."""
        return (
            self.causal
            and self.padding is None
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
        if self.causal and self.query_length > 1:
            parts.append((self.distance >= 0)[None, None])
        if window is not None:
            near = self.distance < window if self.causal else self.distance.abs() < window
            parts.append(near[None, None])
        if self.padding is not None:
            parts.append(self.padding[:, None, None, :])
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:
            allowed = allowed & part
        return allowed
