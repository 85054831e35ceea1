"""The classic methods of an attention layer, which notebooks call and subclasses override.

The forward pass uses them, so a subclass that overrides one changes the model. If none is overridden, attention is
computed by the fused kernel (see `attention.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.model.components._component import Component
from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.rotary import RotaryTable, quarter_turn
from mechscope.model.padding import get_offset_position_ids

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig
    from mechscope.model.hook_points import HookPoint

OVERRIDABLE = ("calculate_attention_scores", "calculate_z_scores", "apply_causal_mask", "apply_rotary")
"""Methods that the forward pass only calls if they are overridden, because it is faster without them."""


class ClassicAttention(Component):
    """`calculate_qkv_matrices`, `calculate_attention_scores` and so on; `Attention` inherits them and calls them."""

    cfg: HookedTransformerConfig
    scale: float
    window: int | None
    grouped: bool
    group_size: int
    rotary: RotaryTable | None
    hook_z: HookPoint

    if TYPE_CHECKING:

        def _project_all(
            self, query_input: torch.Tensor, key_input: torch.Tensor, value_input: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]: ...

    @property
    def attn_scale(self) -> float:
        """The divisor of attention scores (classic name)."""
        return self.scale

    @property
    def repeat_kv_heads(self) -> int:
        """How many query heads share a key/value head (classic name)."""
        return self.group_size

    def overrides(self, name: str) -> bool:
        """Whether a subclass, or an assignment to this object, replaced a classic method."""
        return getattr(type(self), name) is not _CLASSIC[name] or name in self.__dict__

    @property
    def overrides_open_methods(self) -> bool:
        """Whether scores and pattern must be computed step by step, so that an overridden method is called."""
        cls, own = type(self), self.__dict__
        return (
            cls.calculate_attention_scores is not _CLASSIC["calculate_attention_scores"]
            or cls.calculate_z_scores is not _CLASSIC["calculate_z_scores"]
            or cls.apply_causal_mask is not _CLASSIC["apply_causal_mask"]
            or "calculate_attention_scores" in own
            or "calculate_z_scores" in own
            or "apply_causal_mask" in own
        )

    # The steps of a forward pass --------------------------------------------------------------

    def calculate_qkv_matrices(
        self, query_input: torch.Tensor, key_input: torch.Tensor, value_input: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries [batch pos head d_head], keys and values [batch pos kv_head d_head], after their hook points.

        They are not yet normalized (`cfg.qk_norm`) or rotated. Each input is [batch pos d_model], or
        [batch pos head d_model] if it is split by head.
        """
        return self._project_all(query_input, key_input, value_input)

    def calculate_attention_scores(
        self,
        q: Float[torch.Tensor, "batch query head d_head"],
        k: Float[torch.Tensor, "batch key kv_head d_head"],
    ) -> Float[torch.Tensor, "batch head query key"]:
        """q·k / scale, with the soft cap of the config, before masking."""
        scores = q.transpose(1, 2) @ self._by_query_head(k).permute(0, 2, 3, 1)
        scores = scores / self.scale
        cap = self.cfg.attn_scores_soft_cap
        return cap * torch.tanh(scores / cap) if cap > 0 else scores

    def apply_causal_mask(
        self,
        attn_scores: Float[torch.Tensor, "batch head query key"],
        past_kv_pos_offset: int = 0,
        attention_mask: torch.Tensor | None = None,
    ) -> Float[torch.Tensor, "batch head query key"]:
        """The scores, with -inf where a query may not attend to a key.

        Args:
            attn_scores: the scores before masking.
            past_kv_pos_offset: how many keys came before the first query.
            attention_mask: 0 where a key is padding [batch key].

        Raises:
            ValueError: if the number of keys is not the number of earlier positions plus that of queries.
        """
        queries, keys = attn_scores.shape[-2:]
        if queries + past_kv_pos_offset != keys:
            raise ValueError(
                f"there are {keys} keys, but {past_kv_pos_offset} earlier positions and {queries} queries make "
                f"{queries + past_kv_pos_offset}: give past_kv_pos_offset={keys - queries}."
            )
        mask = AttentionMask(queries, keys, padding=attention_mask, causal=True, device=attn_scores.device)
        allowed = mask.allowed(self.window)
        return attn_scores if allowed is None else attn_scores.masked_fill(~allowed, -torch.inf)

    def calculate_z_scores(
        self,
        v: Float[torch.Tensor, "batch key kv_head d_head"],
        pattern: Float[torch.Tensor, "batch head query key"],
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """The values weighted by the pattern, after `hook_z`."""
        return self.hook_z(self.mix_values(v, pattern))

    def mix_values(
        self,
        v: Float[torch.Tensor, "batch key kv_head d_head"],
        pattern: Float[torch.Tensor, "batch head query key"],
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """The values weighted by the pattern."""
        return (pattern @ self._by_query_head(v).transpose(1, 2)).transpose(1, 2)

    def _by_query_head(self, x: torch.Tensor) -> torch.Tensor:
        """[batch pos kv_head d_head] -> [batch pos head d_head]"""
        return x.repeat_interleave(self.group_size, dim=2) if x.shape[2] != self.cfg.n_heads else x

    # Rotary positions -------------------------------------------------------------------------

    def apply_rotary(
        self,
        x: Float[torch.Tensor, "batch pos head d_head"],
        past_kv_pos_offset: int = 0,
        attention_mask: torch.Tensor | None = None,
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Rotate queries or keys by their positions.

        Args:
            x: queries or keys.
            past_kv_pos_offset: how many positions came before.
            attention_mask: 0 where a position is padding [batch all_pos], earlier positions included.

        Raises:
            ValueError: for a model without rotary positions.
        """
        if self.rotary is None:
            raise ValueError(
                f"this model has {self.cfg.positional_embedding_type} positions, not rotary ones."
            )
        positions = None
        if attention_mask is not None:
            positions = get_offset_position_ids(past_kv_pos_offset, attention_mask.to(x.device))
        return self.rotary(x, positions, past_kv_pos_offset)

    def rotate(self, x: torch.Tensor, positions: torch.Tensor | None, offset: int) -> torch.Tensor:
        """`apply_rotary`, for positions [batch pos] that are already known."""
        assert self.rotary is not None
        if not self.overrides("apply_rotary"):
            return self.rotary(x, positions, offset)
        mask = None if positions is None else _mask_with_positions(positions, offset)
        return self.apply_rotary(x, offset, mask)

    def rotate_every_two(self, x: torch.Tensor) -> torch.Tensor:
        """Each pair of dimensions (a, b) becomes (-b, a), in the layout of the config."""
        return quarter_turn(x, self.cfg.rotary_adjacent_pairs)

    def calculate_sin_cos_rotary(
        self, rotary_dim: int, n_ctx: int, base: float | int = 10000, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sines and cosines of the rotation angles, each [n_ctx rotary_dim]."""
        scaling = None if self.rotary is None else self.rotary.scaling
        table = RotaryTable(self.cfg, float(base), scaling)
        table.rotary_dim = rotary_dim
        like = torch.zeros(1, n_ctx, 1, rotary_dim, dtype=dtype)
        cos, sin = table.at(like, None, 0)
        return sin[0, :, 0], cos[0, :, 0]

    # ALiBi ------------------------------------------------------------------------------------

    @staticmethod
    def create_alibi_slope(n_ctx: int, device: torch.device | str | None = None) -> torch.Tensor:
        """The negative distance from each query back to each key, 0 for later keys [query key].

        >>> ClassicAttention.create_alibi_slope(3).tolist()
        [[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [-2.0, -1.0, 0.0]]
        """
        positions = torch.arange(n_ctx, device=device, dtype=torch.float32)
        return (positions[None, :] - positions[:, None]).clamp(max=0)

    @staticmethod
    def create_alibi_multipliers(n_heads: int, device: torch.device | str | None = None) -> torch.Tensor:
        """The slope of each head [head] (see `alibi_slopes`)."""
        return alibi_slopes(n_heads).to(device)

    @staticmethod
    def create_alibi_bias(
        n_heads: int, n_ctx: int, device: torch.device | str | None = None
    ) -> Float[torch.Tensor, "head query key"]:
        """The bias that ALiBi adds to the scores of each head [head query key] (Press et al. 2022)."""
        slopes = ClassicAttention.create_alibi_multipliers(n_heads, device)
        return slopes[:, None, None] * ClassicAttention.create_alibi_slope(n_ctx, device)


def alibi_slopes(n_heads: int) -> Float[torch.Tensor, " head"]:
    """The slope of each head: a geometric series that starts at 2^(-8/n) (Press et al. 2022, section 3).

    >>> alibi_slopes(8).tolist()[:3]
    [0.5, 0.25, 0.125]
    """
    nearest = 1 << (n_heads.bit_length() - 1)
    slopes = [2 ** (-8 * (head + 1) / nearest) for head in range(nearest)]
    slopes += [2 ** (-4 * (2 * head + 1) / nearest) for head in range(n_heads - nearest)]
    return torch.tensor(slopes)


_CLASSIC = {name: getattr(ClassicAttention, name) for name in OVERRIDABLE}


def _mask_with_positions(positions: torch.Tensor, offset: int) -> torch.Tensor:
    """An attention mask [batch offset+pos] in which the last tokens have these positions."""
    earlier = torch.arange(offset, device=positions.device) < positions[:, :1]
    first = torch.ones_like(positions[:, :1])
    return torch.cat([earlier.to(positions.dtype), first, positions.diff(dim=1)], dim=1)
