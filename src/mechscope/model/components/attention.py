"""Multi-head attention: one fused kernel, unless a hook needs the scores or the pattern.

The weights, and the products with them, are in `_attention_weights.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float

from mechscope.model.components._attention_weights import (
    AtQueries,
    AttentionWeights,
    ByHead,
    ByKeyValueHead,
    Projections,
)
from mechscope.model.components._classic_attention import ClassicAttention, alibi_slopes
from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.pass_context import PassContext
from mechscope.model.components.rotary import RotaryTable, own_rotary_table
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.gradients import forward_gradients
from mechscope.model.hook_points import HookPoint
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry
from mechscope.model.precision import at_least_float32


class Attention(ClassicAttention, AttentionWeights):
    """Attention over `n_heads` heads, with their own or grouped keys and values.

    Args:
        cfg: the model's config.
        attn_type: "global", or "local" for attention to the last `cfg.window_size` positions.
        layer_id: the number of the block; sets the scale under `scale_attn_by_inverse_layer_idx`.
        rotary: the table that rotates queries and keys; None makes one if positions are rotary.

    Parameters: W_Q [head d_model d_head], W_O [head d_head d_model], b_Q [head d_head], b_O [d_model]; W_K and W_V
    have the shape of W_Q, b_K and b_V that of b_Q. With grouped-query attention, the stored tensors are `_W_K` and so
    on, with one slice per key/value head, and `W_K` and so on are copies with one slice per query head.

    Raises:
        ValueError: for an unknown `attn_type`, or settings that the config or `layer_id` lacks.
    """

    def __init__(
        self,
        cfg: ConfigLike,
        attn_type: str = "global",
        layer_id: int | None = None,
        rotary: RotaryTable | None = None,
    ) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        _check_kind(cfg, attn_type, layer_id)
        self.cfg = cfg
        self.layer_id = layer_id
        self.attn_type = attn_type
        self.window = cfg.window_size if attn_type == "local" else None
        self.grouped = cfg.n_key_value_heads is not None
        self.group_size = cfg.n_heads // cfg.n_kv_heads
        self.scale = cfg.attn_scale if cfg.use_attn_scale else 1.0
        if cfg.scale_attn_by_inverse_layer_idx:
            assert layer_id is not None
            self.scale *= layer_id + 1
        if rotary is None:
            rotary = own_rotary_table(cfg, attn_type)
        self._make_weights(cfg)
        self.q_norm, self.k_norm = self._make_norms(cfg)
        self.rotary = rotary
        self.hook_q = HookPoint()
        self.hook_k = HookPoint()
        self.hook_v = HookPoint()
        if rotary is not None:
            self.hook_rot_q = HookPoint()
            self.hook_rot_k = HookPoint()
        self.hook_attn_scores = HookPoint()
        self.hook_pattern = HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint()

    def forward(
        self,
        query_input: ByHead,
        key_input: ByKeyValueHead,
        value_input: ByKeyValueHead,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
        additive_attention_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_bias: torch.Tensor | None = None,
        *,
        context: PassContext | None = None,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The output of the layer [batch pos d_model].

        Args:
            query_input: the input of the queries [batch pos d_model], or [batch pos head d_model] if split by head.
            key_input: the input of the keys, in the same shapes.
            value_input: the input of the values, in the same shapes.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            additive_attention_mask: added to the scores, -inf at keys that no query may attend to [batch 1 1 key].
            attention_mask: 0 where a position is padding [batch key], earlier positions included.
            position_bias: also added to the scores [1 head query key].
            context: mask and positions of the pass, if already known; it replaces `attention_mask`.

        Raises:
            ValueError: for a mask of another length.
        """
        if context is None:
            offset = 0 if past_kv_cache_entry is None else past_kv_cache_entry.past_keys.shape[1]
            context = self._classic_context(key_input.shape[1], offset, attention_mask, query_input.device)
        bias = additive_attention_mask
        if position_bias is not None:
            bias = position_bias if bias is None else bias + position_bias
        z = self.head_outputs(query_input, key_input, value_input, context, past_kv_cache_entry, bias)
        return self.output(z)

    def _classic_context(
        self, length: int, offset: int, attention_mask: torch.Tensor | None, device: torch.device
    ) -> PassContext:
        """The context for a padding mask [batch key]."""
        if attention_mask is not None and attention_mask.shape[1] != offset + length:
            raise ValueError(
                f"attention_mask covers {attention_mask.shape[1]} positions, but there are {offset + length}, "
                "cached ones included."
            )
        causal = self.cfg.attention_dir == "causal"
        mask = AttentionMask(length, offset + length, padding=attention_mask, causal=causal, device=device)
        return PassContext(mask, offset)

    # The steps of a forward pass, which techniques call as well -------------------------------

    def head_outputs(
        self,
        query_input: AtQueries,
        key_input: ByKeyValueHead,
        value_input: ByKeyValueHead,
        context: PassContext,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
        bias: torch.Tensor | None = None,
        heads: Sequence[int] | None = None,
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """The output of each head before W_O, after `hook_z`: values weighted by attention.

        Args:
            query_input: the input of the queries; if the context names queries, of those positions only.
            key_input: the input of the keys.
            value_input: the input of the values.
            context: mask and positions.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            bias: added to the scores, in a shape that expands to [batch head query key].
            heads: compute only these heads, from inputs split by head that hold only these
                (see `can_run_some_heads`).
        """
        if heads is None:
            q, k, v = self.calculate_qkv_matrices(query_input, key_input, value_input)
        else:
            q, k, v = self._hooked(self.projections(query_input, key_input, value_input, heads))
        return self.read_values(q, k, v, context, past_kv_cache_entry, bias, heads)

    def head_outputs_of(
        self, projections: Projections, context: PassContext
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """`head_outputs`, from queries, keys and values that are already computed."""
        return self.read_values(*self._hooked(projections), context)

    def read_values(
        self,
        q: Float[torch.Tensor, "batch query head d_head"],
        k: Float[torch.Tensor, "batch pos kv_head d_head"],
        v: Float[torch.Tensor, "batch pos kv_head d_head"],
        context: PassContext,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
        bias: torch.Tensor | None = None,
        heads: Sequence[int] | None = None,
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """`head_outputs`, from queries, keys and values before norms and rotation (see `calculate_qkv_matrices`).

        Every path through the layer calls this method. The other arguments are those of `head_outputs`.
        """
        del heads  # a subclass may need to know which heads these are
        q, k = self.normed_queries(q), self.normed_keys(k)
        if self.rotary is not None:
            where = context.query_positions
            where = None if where is None else where.expand(len(q), -1)
            q = self.hook_rot_q(self.rotate(q, where, context.mask.key_length - q.shape[1]))
            k = self.hook_rot_k(self.rotate(k, context.positions, context.offset))
        if past_kv_cache_entry is not None:
            k, v = past_kv_cache_entry.append(k, v)
        z = self.attend(q, k, v, context.mask, bias)
        # The classic `calculate_z_scores` ends with the hook.
        return z if self.overrides("calculate_z_scores") else self.hook_z(z)

    @property
    def key_hook(self) -> HookPoint:
        """The last hook point of the keys before attention scores are computed; see `ready_keys`."""
        return self.hook_k if self.rotary is None else self.hook_rot_k

    @property
    def query_hook(self) -> HookPoint:
        """The last hook point of the queries before attention scores are computed; see `ready_queries`."""
        return self.hook_q if self.rotary is None else self.hook_rot_q

    def ready_keys(
        self, at_hook: Float[torch.Tensor, "batch pos kv_head d_head"]
    ) -> Float[torch.Tensor, "batch pos kv_head d_head"]:
        """Keys as the scores use them, and as a key/value cache holds them, from the activation at `key_hook`."""
        return self.normed_keys(at_hook) if self.rotary is None else at_hook

    def ready_queries(
        self, at_hook: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Queries as the scores use them, from the activation at `query_hook`."""
        return self.normed_queries(at_hook) if self.rotary is None else at_hook

    @property
    def can_run_some_heads(self) -> bool:
        """Whether some heads can be computed without the others, and no listener expects all of them."""
        independent = not self.grouped and self.cfg.qk_norm != "full"
        return independent and self.cfg.positional_embedding_type != "alibi" and not self._watched

    @property
    def _watched(self) -> bool:
        points = [
            self.hook_q,
            self.hook_k,
            self.hook_v,
            self.hook_attn_scores,
            self.hook_pattern,
            self.hook_z,
        ]
        points += [] if self.rotary is None else [self.hook_rot_q, self.hook_rot_k]
        return any(point.watched for point in points)

    def attend(
        self,
        q: Float[torch.Tensor, "batch query head d_head"],
        k: Float[torch.Tensor, "batch key kv_head d_head"],
        v: Float[torch.Tensor, "batch key kv_head d_head"],
        mask: AttentionMask,
        bias: torch.Tensor | None = None,
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """Values weighted by attention: in one kernel, or step by step if scores or pattern have hooks.

        Args:
            q: queries, normalized and rotated.
            k: keys, normalized and rotated, cached ones included.
            v: values, cached ones included.
            mask: which queries may attend to which keys.
            bias: added to the scores, in a shape that expands to [batch head query key].
        """
        if bias is None and not self._needs_steps():
            return self._fused_attention(q, k, v, mask)
        return self._attention_in_steps(q, k, v, mask, bias)

    def _project_all(
        self, query_input: torch.Tensor, key_input: torch.Tensor, value_input: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._hooked(self.projections(query_input, key_input, value_input))

    def _hooked(self, projections: Projections) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values after their hook points; not yet normalized or rotated."""
        q, k, v = projections
        return self.hook_q(q), self.hook_k(k), self.hook_v(v)

    def _needs_steps(self) -> bool:
        """Whether scores and pattern must exist as separate tensors."""
        return (
            self.hook_attn_scores.watched
            or self.hook_pattern.watched
            or self.cfg.attn_scores_soft_cap > 0
            or self.overrides_open_methods
            or forward_gradients()
        )

    def _fused_attention(
        self,
        q: Float[torch.Tensor, "batch query head d_head"],
        k: Float[torch.Tensor, "batch key kv_head d_head"],
        v: Float[torch.Tensor, "batch key kv_head d_head"],
        mask: AttentionMask,
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        plain = mask.is_plain_causal(self.window) and self.cfg.positional_embedding_type != "alibi"
        z = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=None if plain else self._additive_or_boolean(mask, q.dtype),
            is_causal=plain,
            scale=1.0 / self.scale,
            enable_gqa=self.grouped,
        )
        return z.transpose(1, 2)

    def _attention_in_steps(
        self,
        q: Float[torch.Tensor, "batch query head d_head"],
        k: Float[torch.Tensor, "batch key kv_head d_head"],
        v: Float[torch.Tensor, "batch key kv_head d_head"],
        mask: AttentionMask,
        bias: torch.Tensor | None = None,
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        scores = self.calculate_attention_scores(q, k)
        if self.cfg.positional_embedding_type == "alibi":
            scores = scores + self.alibi_bias(mask)
        allowed = mask.allowed(self.window)
        if mask.causal and self.overrides("apply_causal_mask"):
            scores = self.apply_causal_mask(scores, mask.key_length - mask.query_length, mask.padding)
        elif allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        if bias is not None:
            scores = scores + bias
        scores = self.hook_attn_scores(scores)
        wide = at_least_float32(scores)
        if mask.padding is None or allowed is None:
            pattern = F.softmax(wide, dim=-1)
        else:
            # A padding query that may attend to no key gets zeros, as in the fused kernel: a softmax over -inf alone
            # would be 0/0, and so would its gradient.
            blind = ~allowed.any(-1, keepdim=True)
            pattern = F.softmax(wide.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0)
        pattern = self.hook_pattern(pattern.to(v.dtype))
        if self.overrides("calculate_z_scores"):
            return self.calculate_z_scores(v, pattern)
        return self.mix_values(v, pattern)

    def _additive_or_boolean(self, mask: AttentionMask, dtype: torch.dtype) -> torch.Tensor | None:
        allowed = mask.allowed(self.window)
        if self.cfg.positional_embedding_type != "alibi":
            return allowed
        bias = self.alibi_bias(mask).to(dtype)
        return bias if allowed is None else bias.masked_fill(~allowed, -torch.inf)

    def alibi_bias(self, mask: AttentionMask) -> Float[torch.Tensor, "rows head query key"]:
        """-slope * distance for each head [1 or batch, head, query_pos, key_pos] (Press et al. 2022)."""
        slopes = alibi_slopes(self.cfg.n_heads).to(mask.device)
        distance = mask.distance.clamp(min=0)
        return -slopes[:, None, None] * (distance[None, None] if distance.ndim == 2 else distance[:, None])


def _check_kind(cfg: HookedTransformerConfig, attn_type: str, layer_id: int | None) -> None:
    if attn_type not in ("global", "local"):
        raise ValueError(f"attn_type must be 'global' or 'local', not {attn_type!r}.")
    if attn_type == "local" and cfg.window_size is None:
        raise ValueError("local attention needs a window_size in the config.")
    if cfg.scale_attn_by_inverse_layer_idx and layer_id is None:
        raise ValueError("scale_attn_by_inverse_layer_idx depends on the layer: give layer_id.")
