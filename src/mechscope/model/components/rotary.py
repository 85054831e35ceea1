"""Rotary position embedding: queries and keys turn by an angle proportional to their position.

Source: Su et al. 2021, section 3.2. Two layouts of the pairs that turn together are in use:
(i, i + rotary_dim/2), as in NeoX and Llama, and (2i, 2i+1), as in GPT-J and the paper.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int

from mechscope.model.config import HookedTransformerConfig


class RotaryTable:
    """Cosines and sines for every position, grown as longer sequences come.

    Layers with the same base and scaling share one table.
    """

    def __init__(self, cfg: HookedTransformerConfig, base: float, scaling: dict[str, Any] | None) -> None:
        assert cfg.rotary_dim is not None
        self.rotary_dim = cfg.rotary_dim
        self.adjacent = cfg.rotary_adjacent_pairs
        self.base = base
        self.scaling = scaling
        self.cos: torch.Tensor | None = None
        self.sin: torch.Tensor | None = None

    def frequencies(self) -> Float[torch.Tensor, " pair"]:
        """Radians a position for each pair [rotary_dim / 2], in float32 as the reference models do."""
        exponents = torch.arange(0, self.rotary_dim, 2, dtype=torch.float32) / self.rotary_dim
        return scale_frequencies(1.0 / self.base**exponents, self.scaling)

    def at(
        self,
        x: Float[torch.Tensor, "batch pos head d_head"],
        positions: Int[torch.Tensor, "batch pos"] | None,
        offset: int,
    ) -> tuple[Float[torch.Tensor, "rows pos 1 rotary_dim"], Float[torch.Tensor, "rows pos 1 rotary_dim"]]:
        """cos and sin [batch or 1, pos, 1, rotary_dim] for the positions of x [batch pos head d_head]."""
        length = offset + x.shape[1]
        if self.cos is None or len(self.cos) < length or self.cos.device != x.device:
            self._build(max(length, 64 if self.cos is None else 2 * len(self.cos)), x.device)
        assert self.cos is not None and self.sin is not None
        if positions is None:
            cos, sin = self.cos[None, offset:length], self.sin[None, offset:length]
        else:
            cos, sin = self.cos[positions], self.sin[positions]
        return cos[:, :, None].to(x.dtype), sin[:, :, None].to(x.dtype)

    def _build(self, length: int, device: torch.device) -> None:
        angles = torch.outer(torch.arange(length, dtype=torch.float32), self.frequencies())
        angles = angles.repeat_interleave(2, -1) if self.adjacent else torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().to(device), angles.sin().to(device)

    def __call__(
        self,
        x: Float[torch.Tensor, "batch pos head d_head"],
        positions: Int[torch.Tensor, "batch pos"] | None = None,
        offset: int = 0,
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Turn x [batch pos head d_head] by its positions; dimensions past rotary_dim pass through."""
        cos, sin = self.at(x, positions, offset)
        turning, still = x[..., : self.rotary_dim], x[..., self.rotary_dim :]
        turned = turning * cos + quarter_turn(turning, self.adjacent) * sin
        return turned if still.shape[-1] == 0 else torch.cat([turned, still], -1)


def own_rotary_table(cfg: HookedTransformerConfig, attn_type: str) -> RotaryTable | None:
    """The table of a layer that shares it with no other; None where positions are not rotary."""
    if cfg.positional_embedding_type != "rotary":
        return None
    if attn_type == "local" and cfg.rotary_base_local is not None:
        return RotaryTable(cfg, cfg.rotary_base_local, None)
    return RotaryTable(cfg, cfg.rotary_base, cfg.rotary_scaling)


def quarter_turn(x: Float[torch.Tensor, "*batch even"], adjacent: bool) -> Float[torch.Tensor, "*batch even"]:
    """Each pair (a, b) becomes (-b, a).

    >>> quarter_turn(torch.tensor([1., 2., 3., 4.]), adjacent=False).tolist()
    [-3.0, -4.0, 1.0, 2.0]
    >>> quarter_turn(torch.tensor([1., 2., 3., 4.]), adjacent=True).tolist()
    [-2.0, 1.0, -4.0, 3.0]
    """
    if adjacent:
        return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)


def scale_frequencies(
    frequencies: Float[torch.Tensor, " pair"], scaling: dict[str, Any] | None
) -> Float[torch.Tensor, " pair"]:
    """Frequencies for a longer context than the model was first trained on.

    "linear" divides all by a factor (Chen et al. 2023). "llama3" divides only those whose wave is
    long, keeps those whose wave is short, and blends between (Llama 3.1's published rule).
    """
    if scaling is None:
        return frequencies
    if scaling["type"] == "linear":
        return frequencies / scaling["factor"]
    wavelengths = 2 * math.pi / frequencies
    turns = scaling["original_max_position_embeddings"] / wavelengths
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return keep * frequencies + (1 - keep) * frequencies / scaling["factor"]
