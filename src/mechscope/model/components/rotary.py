"""Rotary position embedding: queries and keys rotate by an angle proportional to their position.

Source: Su et al. 2021, section 3.2. The dimensions that rotate together are either (i, i + rotary_dim/2), as in NeoX
and Llama, or (2i, 2i+1), as in GPT-J and the paper.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int

from mechscope.model.config import HookedTransformerConfig


class _Rotations(NamedTuple):
    """Cosines and sines [pos rotary_dim], and the text length that their frequencies are for (0 means any)."""

    cos: torch.Tensor
    sin: torch.Tensor
    text_length: int


class RotaryTable:
    """The cosines and sines of every position; the table grows when a longer text comes.

    Layers with the same base and scaling share one table.

    Args:
        cfg: the model's config.
        base: the base of the frequencies.
        scaling: see `HookedTransformerConfig.rotary_scaling`.
    """

    def __init__(self, cfg: HookedTransformerConfig, base: float, scaling: dict[str, Any] | None) -> None:
        assert cfg.rotary_dim is not None
        self.rotary_dim = cfg.rotary_dim
        self.adjacent = cfg.rotary_adjacent_pairs
        self.base = base
        self.scaling = scaling
        # Replaced as a whole, so that a pass in another thread reads either the old table or the new one.
        self._rotations: _Rotations | None = None

    def frequencies(self, length: int = 0) -> Float[torch.Tensor, " pair"]:
        """The frequency of each pair in radians per position [rotary_dim/2], in float32 like the reference models.

        `length` is the length of the text, which only matters for "dynamic" scaling.
        """
        exponents = torch.arange(0, self.rotary_dim, 2, dtype=torch.float32) / self.rotary_dim
        base = dynamic_base(self.base, self.rotary_dim, self.scaling, length)
        return scale_frequencies(1.0 / base**exponents, self.scaling, base)

    def at(
        self,
        x: Float[torch.Tensor, "batch pos head d_head"],
        positions: Int[torch.Tensor, "batch pos"] | None,
        offset: int,
    ) -> tuple[Float[torch.Tensor, "rows pos 1 rotary_dim"], Float[torch.Tensor, "rows pos 1 rotary_dim"]]:
        """Cosines and sines for the positions of x, each [batch or 1, pos, 1, rotary_dim].

        Args:
            x: queries or keys.
            positions: their positions; None counts from `offset`.
            offset: how many positions came before.

        Raises:
            ValueError: for cached positions under "dynamic" scaling, once the text is longer than the original context.
        """
        length = offset + x.shape[1]
        text_length = 0
        if depends_on_length(self.scaling, length):
            if offset:
                raise ValueError(
                    f"with dynamic rotary scaling, all angles change with the length of a text of more than "
                    f"{original_context(self.scaling)} tokens, so cached keys cannot be reused: run all "
                    f"{length} tokens without a key/value cache (generate: use_past_kv_cache=False)."
                )
            if positions is not None:
                return self._at_own_lengths(x, positions)
            text_length = length
        table = self._rotations
        if (
            table is None
            or len(table.cos) < length
            or table.cos.device != x.device
            or table.text_length != text_length
        ):
            size = 64 if table is None else len(table.cos)
            # Grow the table only if it is too short, not for another device or another length of text.
            size = size if length <= size else max(length, 2 * size)
            table = self._rotations = self._build(size, x.device, text_length)
        if positions is None:
            cos, sin = table.cos[None, offset:length], table.sin[None, offset:length]
        else:
            cos, sin = table.cos[positions], table.sin[positions]
        return cos[:, :, None].to(x.dtype), sin[:, :, None].to(x.dtype)

    def _at_own_lengths(
        self, x: Float[torch.Tensor, "batch pos head d_head"], positions: Int[torch.Tensor, "batch pos"]
    ) -> tuple[Float[torch.Tensor, "batch pos 1 rotary_dim"], Float[torch.Tensor, "batch pos 1 rotary_dim"]]:
        """Cosines and sines for a padded batch in which each text has the frequencies of its own length."""
        lengths, row = (positions.amax(1) + 1).unique(return_inverse=True)
        frequencies = torch.stack([self.frequencies(length) for length in lengths.tolist()]).to(x.device)[row]
        cos, sin = self._cos_and_sin(positions[:, :, None] * frequencies[:, None])
        return cos[:, :, None].to(x.dtype), sin[:, :, None].to(x.dtype)

    def _build(self, length: int, device: torch.device, text_length: int) -> _Rotations:
        # The table outlives its pass, and a tensor created in inference mode could not be used in training.
        with torch.inference_mode(False), torch.no_grad():
            positions = torch.arange(length, dtype=torch.float32)
            cos, sin = self._cos_and_sin(torch.outer(positions, self.frequencies(text_length)))
            return _Rotations(cos.to(device), sin.to(device), text_length)

    def _cos_and_sin(
        self, angles: Float[torch.Tensor, "*rows pair"]
    ) -> tuple[Float[torch.Tensor, "*rows rotary_dim"], Float[torch.Tensor, "*rows rotary_dim"]]:
        angles = angles.repeat_interleave(2, -1) if self.adjacent else torch.cat([angles, angles], -1)
        size = attention_factor(self.scaling)
        return angles.cos() * size, angles.sin() * size

    def __call__(
        self,
        x: Float[torch.Tensor, "batch pos head d_head"],
        positions: Int[torch.Tensor, "batch pos"] | None = None,
        offset: int = 0,
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Rotate x [batch pos head d_head] by its positions; dimensions from rotary_dim on are unchanged."""
        cos, sin = self.at(x, positions, offset)
        part, rest = x[..., : self.rotary_dim], x[..., self.rotary_dim :]
        rotated = part * cos + quarter_turn(part, self.adjacent) * sin
        return rotated if rest.shape[-1] == 0 else torch.cat([rotated, rest], -1)


def own_rotary_table(cfg: HookedTransformerConfig, attn_type: str) -> RotaryTable | None:
    """A table for a layer that does not share one; None if positions are not rotary."""
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
    frequencies: Float[torch.Tensor, " pair"], scaling: dict[str, Any] | None, base: float = 10_000.0
) -> Float[torch.Tensor, " pair"]:
    """Frequencies for a longer context than the model was first trained on.

    "linear" divides all frequencies by a factor (Chen et al. 2023). "llama3" divides low frequencies, keeps high ones
    and interpolates in between (the published rule of Llama 3.1). "yarn" does the same, but interpolates linearly over
    the pairs (Peng et al. 2023, section 3.2). "dynamic" changes the base instead (see `dynamic_base`).

    Args:
        frequencies: the frequencies without scaling.
        scaling: see `HookedTransformerConfig.rotary_scaling`.
        base: the base of the frequencies.
    """
    if scaling is None or scaling["type"] == "dynamic":
        return frequencies
    factor = scaling["factor"]
    if scaling["type"] == "linear":
        return frequencies / factor
    original = scaling["original_max_position_embeddings"]
    if scaling["type"] == "yarn":
        kept = _share_kept_by_yarn(len(frequencies), scaling, base).to(frequencies)
        return kept * frequencies + (1 - kept) * frequencies / factor
    wavelengths = 2 * math.pi / frequencies
    turns = original / wavelengths
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return keep * frequencies + (1 - keep) * frequencies / factor


def _share_kept_by_yarn(pairs: int, scaling: dict[str, Any], base: float) -> Float[torch.Tensor, " pair"]:
    """The share of each pair's frequency that YaRN keeps, from 1 (high frequencies) to 0 (low ones)."""
    original = scaling["original_max_position_embeddings"]

    def pair_that_turns(times: float) -> float:
        """The (fractional) index of the pair that makes this many full turns within the original context."""
        return pairs * math.log(original / (times * 2 * math.pi)) / math.log(base)

    first = pair_that_turns(scaling.get("beta_fast", 32.0))
    last = pair_that_turns(scaling.get("beta_slow", 1.0))
    if scaling.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * pairs - 1)
    if first == last:
        last += 0.001
    return 1 - ((torch.arange(pairs, dtype=torch.float32) - first) / (last - first)).clamp(0, 1)


def attention_factor(scaling: dict[str, Any] | None) -> float:
    """The factor by which queries and keys are multiplied: 1, except for YaRN (Peng et al. 2023, section 3.4).

    >>> round(attention_factor({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}), 4)
    1.1386
    """
    if scaling is None or scaling["type"] != "yarn":
        return 1.0
    given = scaling.get("attention_factor")
    return 0.1 * math.log(max(scaling["factor"], 1.0)) + 1.0 if given is None else given


def original_context(scaling: dict[str, Any] | None) -> int:
    """The length up to which "dynamic" scaling has no effect, in tokens."""
    assert scaling is not None
    return int(scaling["original_max_position_embeddings"])


def depends_on_length(scaling: dict[str, Any] | None, length: int) -> bool:
    """Whether the angles in a text of this length depend on its length."""
    return scaling is not None and scaling["type"] == "dynamic" and length > original_context(scaling)


def dynamic_base(base: float, rotary_dim: int, scaling: dict[str, Any] | None, length: int) -> float:
    """The base for a text of `length` tokens; "dynamic" scaling increases it beyond the original context.

    The slowest pair then rotates as far within `length` as it did within the original context.
    """
    if not depends_on_length(scaling, length):
        return base
    assert scaling is not None
    factor = scaling["factor"]
    longer = factor * length / original_context(scaling) - (factor - 1)
    return base * longer ** (rotary_dim / (rotary_dim - 2))
