"""Multi-head attention, fused while nobody looks inside it.

Weights have the classic shapes, one slice per head, and are contiguous in memory, so that everything that
torch does with a module's parameters works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import nn

from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.classic_attention import ClassicAttention, alibi_slopes
from mechscope.model.components.normalization import RMSNorm
from mechscope.model.components.pass_context import PassContext
from mechscope.model.components.rotary import RotaryTable, own_rotary_table
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.gradients import forward_gradients
from mechscope.model.hook_points import HookPoint
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry
from mechscope.model.precision import at_least_float32
from mechscope.model.weight_views import weight_copy

# What queries, keys or values read: the residual stream, or a copy of it for each head.
AtQueries = Float[torch.Tensor, "batch query d_model"] | Float[torch.Tensor, "batch query head d_model"]
ByHead = Float[torch.Tensor, "batch pos d_model"] | Float[torch.Tensor, "batch pos head d_model"]
ByKeyValueHead = Float[torch.Tensor, "batch pos d_model"] | Float[torch.Tensor, "batch pos kv_head d_model"]


class Projections(NamedTuple):
    """What the weights make of a layer's inputs: before norms, hook points and rotary turns."""

    queries: Float[torch.Tensor, "batch query head d_head"]
    keys: Float[torch.Tensor, "batch pos kv_head d_head"]
    values: Float[torch.Tensor, "batch pos kv_head d_head"]


class Attention(ClassicAttention):
    """Attention over `n_heads` heads, with their own or grouped keys and values.

    Args:
        cfg: the model's config.
        attn_type: "global", or "local" for attention to the last `cfg.window_size` positions.
        layer_id: the block's number; sets the scale under `scale_attn_by_inverse_layer_idx`.
        rotary: the table that turns its queries and keys; None makes one where positions are rotary.

    Parameters: W_Q [head d_model d_head], W_O [head d_head d_model], b_Q [head d_head], b_O
    [d_model]; W_K, W_V, b_K, b_V like W_Q and b_Q. Under grouped-query attention the stored
    tensors are `_W_K` … with one slice a key/value head, and `W_K` … show them a query head.
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

    def _make_weights(self, cfg: HookedTransformerConfig) -> None:
        def projection(heads: int) -> nn.Parameter:
            return nn.Parameter(
                torch.empty(heads, cfg.d_model, cfg.d_head, dtype=cfg.dtype, device=cfg.device)
            )

        def bias(heads: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(heads, cfg.d_head, dtype=cfg.dtype, device=cfg.device))

        # In the classic order, so that one seed gives the classic initial weights.
        prefix = "_" if self.grouped else ""
        self.W_Q = projection(cfg.n_heads)
        self.W_O = nn.Parameter(
            torch.empty(cfg.n_heads, cfg.d_head, cfg.d_model, dtype=cfg.dtype, device=cfg.device)
        )
        self.b_Q = bias(cfg.n_heads)
        self.b_O = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.register_parameter(f"{prefix}W_K", projection(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}W_V", projection(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}b_K", bias(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}b_V", bias(cfg.n_kv_heads))

    @staticmethod
    def _make_norms(cfg: HookedTransformerConfig) -> tuple[nn.Module | None, nn.Module | None]:
        if cfg.qk_norm == "none":
            return None, None
        if cfg.qk_norm == "per_head":
            return RMSNorm(cfg, cfg.d_head), RMSNorm(cfg, cfg.d_head)
        return RMSNorm(cfg, cfg.n_heads * cfg.d_head), RMSNorm(cfg, cfg.n_kv_heads * cfg.d_head)

    def __getattr__(self, name: str) -> torch.Tensor:
        if name in ("W_K", "W_V", "b_K", "b_V") and self.__dict__.get("grouped"):
            return self._shown_by_query_head(name)
        return super().__getattr__(name)  # type: ignore[return-value]

    def _shown_by_query_head(self, name: str) -> torch.Tensor:
        with torch.inference_mode(False):
            repeated = getattr(self, f"_{name}").repeat_interleave(self.group_size, dim=0)
        return weight_copy(
            repeated,
            f"under grouped-query attention {name} is a copy that shows each key/value head once for every query "
            f"head; write to _{name} inside torch.no_grad(), or .clone() it for a tensor of your own",
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("W_K", "W_V", "b_K", "b_V") and self.__dict__.get("grouped"):
            raise AttributeError(
                f"under grouped-query attention {name} only shows _{name} once for every query head: set _{name}, "
                f"which has {self.cfg.n_kv_heads} heads."
            )
        super().__setattr__(name, value)

    @property
    def OV(self):
        """W_V W_O of each head, as a factored matrix [head d_model d_model]."""
        from mechscope.model.factored_matrix import FactoredMatrix

        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def QK(self):
        """W_Q W_K^T of each head, as a factored matrix [head d_model d_model]."""
        from mechscope.model.factored_matrix import FactoredMatrix

        return FactoredMatrix(self.W_Q, self.W_K.mT)

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
        """[batch pos d_model] (or [batch pos head d_model] for inputs split by head) -> [batch pos d_model]

        Args:
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            additive_attention_mask: added to the scores, -inf at keys that no query may read [batch 1 1 key].
            attention_mask: 0 where a position is padding [batch key], earlier positions included.
            position_bias: also added to the scores [1 head query key].
            context: mask and positions of the pass, if already known; it replaces `attention_mask`.
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
        """The context that a padding mask [batch key] describes."""
        if attention_mask is not None and attention_mask.shape[1] != offset + length:
            raise ValueError(
                f"attention_mask covers {attention_mask.shape[1]} positions, but there are {offset + length}, "
                "cached ones included."
            )
        causal = self.cfg.attention_dir == "causal"
        mask = AttentionMask(length, offset + length, padding=attention_mask, causal=causal, device=device)
        return PassContext(mask, offset)

    # The steps of a forward pass, which techniques call as well -----------------------------

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
        """What each head takes from the values, as `hook_z` leaves it, from what queries, keys and values read.

        Args:
            context: mask and positions; where it names queries, `query_input` holds those positions only.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            bias: added to the scores, in a shape that expands to [batch head query key].
            heads: compute these heads only, from inputs that hold just these (see `can_run_some_heads`).
        """
        if heads is None:
            q, k, v = self.calculate_qkv_matrices(query_input, key_input, value_input)
        else:
            q, k, v = self._hooked(self.projections(query_input, key_input, value_input, heads))
        return self.read_values(q, k, v, context, past_kv_cache_entry, bias, heads)

    def projections(
        self,
        query_input: AtQueries,
        key_input: ByKeyValueHead,
        value_input: ByKeyValueHead,
        heads: Sequence[int] | None = None,
    ) -> Projections:
        """The products of inputs and weights, from which `head_outputs_of` goes on."""
        return Projections(
            self._project("Q", query_input, heads),
            self._project("K", key_input, heads),
            self._project("V", value_input, heads),
        )

    def head_outputs_of(
        self, projections: Projections, context: PassContext
    ) -> Float[torch.Tensor, "batch query head d_head"]:
        """`head_outputs`, from projections that are already computed."""
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
        """What each head takes from the values, as `hook_z` leaves it: every way through the layer ends here.

        Args:
            q, k, v: queries, keys and values before norms and rotary turns, as `calculate_qkv_matrices` gives them.
            context, past_kv_cache_entry, bias, heads: see `head_outputs`.
        """
        del heads  # for what a subclass does head by head
        q, k = self.normed_queries(q), self.normed_keys(k)
        if self.rotary is not None:
            where = context.query_positions
            where = None if where is None else where.expand(len(q), -1)
            q = self.hook_rot_q(self.turn(q, where, context.mask.key_length - q.shape[1]))
            k = self.hook_rot_k(self.turn(k, context.positions, context.offset))
        if past_kv_cache_entry is not None:
            k, v = past_kv_cache_entry.append(k, v)
        z = self.attend(q, k, v, context.mask, bias)
        # The classic `calculate_z_scores` ends with the hook.
        return z if self.overrides("calculate_z_scores") else self.hook_z(z)

    @property
    def key_hook(self) -> HookPoint:
        """The last point that keys pass before they are attended to; see `ready_keys`."""
        return self.hook_k if self.rotary is None else self.hook_rot_k

    @property
    def query_hook(self) -> HookPoint:
        """The last point that queries pass before they attend; see `ready_queries`."""
        return self.hook_q if self.rotary is None else self.hook_rot_q

    def ready_keys(
        self, at_hook: Float[torch.Tensor, "batch pos kv_head d_head"]
    ) -> Float[torch.Tensor, "batch pos kv_head d_head"]:
        """Keys as they are attended to, and as a key/value cache holds them, from what `key_hook` saw."""
        return self.normed_keys(at_hook) if self.rotary is None else at_hook

    def ready_queries(
        self, at_hook: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Queries as they attend, from what `query_hook` saw."""
        return self.normed_queries(at_hook) if self.rotary is None else at_hook

    @property
    def can_run_some_heads(self) -> bool:
        """Whether some heads can be computed without the others, and nobody listens who expects all of them."""
        apart = not self.grouped and self.cfg.qk_norm != "full"
        return apart and self.cfg.positional_embedding_type != "alibi" and not self._watched

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
        """What each query takes from the values: fused, or step by step if scores or pattern have hooks.

        Args:
            bias: added to the scores, in a shape that expands to [batch head query key].
        """
        if bias is None and not self._must_be_open():
            return self._fused_attention(q, k, v, mask)
        return self._open_attention(q, k, v, mask, bias)

    def _project_all(
        self, query_input: torch.Tensor, key_input: torch.Tensor, value_input: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._hooked(self.projections(query_input, key_input, value_input))

    def _hooked(self, projections: Projections) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values as their hook points leave them; not yet normed or turned."""
        q, k, v = projections
        return self.hook_q(q), self.hook_k(k), self.hook_v(v)

    def _weights(self, which: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of queries, keys or values, as they are stored."""
        prefix = "_" if self.grouped and which != "Q" else ""
        return self._stored(f"{prefix}W_{which}"), self._stored(f"{prefix}b_{which}")

    def _project(self, which: str, x: torch.Tensor, heads: Sequence[int] | None = None) -> torch.Tensor:
        weight, bias = self._weights(which)
        return project(x, weight, bias) if heads is None else project(x, weight[heads], bias[heads])

    def input_gradients(
        self, gradients: Sequence[torch.Tensor]
    ) -> Float[torch.Tensor, "input batch pos d_model"]:
        """Gradients at each of the `projections`, taken back to what heads' queries, then keys, then values read."""
        by_input = [
            einsum(
                gradient,
                self._weights(which)[0],
                "batch pos head d_head, head d_model d_head -> head batch pos d_model",
            )
            for which, gradient in zip("QKV", gradients, strict=True)
        ]
        return torch.cat(by_input)

    def normed_queries(
        self, q: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """What `hook_q` saw, after the norm on queries (`cfg.qk_norm`) if the model has one."""
        return q if self.q_norm is None else self._normalize(self.q_norm, q)

    def normed_keys(
        self, k: Float[torch.Tensor, "batch pos kv_head d_head"]
    ) -> Float[torch.Tensor, "batch pos kv_head d_head"]:
        """What `hook_k` saw, after the norm on keys (`cfg.qk_norm`) if the model has one."""
        return k if self.k_norm is None else self._normalize(self.k_norm, k)

    def _normalize(self, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return norm(x) if self.cfg.qk_norm == "per_head" else norm(x.flatten(2)).view_as(x)

    def _must_be_open(self) -> bool:
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

    def _open_attention(
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
            # A padding query that may read no key attends to nothing, as in the fused kernel, where a
            # softmax over -inf alone would be 0/0 (and its gradient too).
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

    def output(
        self, z: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos head d_head] -> [batch pos d_model]; head by head only if `hook_result` is watched."""
        if self.hook_result.watched:
            result = self.hook_result(
                einsum(z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos head d_model")
            )
            return result.sum(2) + self.b_O
        return F.linear(z.flatten(2), self._stored("W_O").flatten(0, 1).mT, self._stored("b_O"))

    def head_result(
        self, z: Float[torch.Tensor, "batch pos d_head"], head: int
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """What one head adds to the layer's output, from what it took from the values."""
        return z @ self.W_O[head]

    def _stored(self, name: str) -> torch.Tensor:
        """A weight, bypassing torch's slow attribute lookup unless a parametrization or pruning computes it."""
        parameter = self._parameters.get(name)
        return getattr(self, name) if parameter is None else parameter


# From this many positions on, one product for all heads saves more than concatenating their weights costs.
POSITIONS_FOR_ONE_PRODUCT = 96


def project(
    x: ByHead, weight: Float[torch.Tensor, "head d_model d_head"], bias: Float[torch.Tensor, "head d_head"]
) -> Float[torch.Tensor, "batch pos head d_head"]:
    """Each head's projection of x, which may be split by head.

    The heads' weights are stored one after the other, not as one matrix. For few positions the heads are computed as a
    batch of products; for many, their weights are first concatenated.
    """
    if x.ndim == 4:
        return (
            einsum(x, weight, "batch pos head d_model, head d_model d_head -> batch pos head d_head") + bias
        )
    heads, d_model, d_head = weight.shape
    positions = x.shape[:-1]
    if positions.numel() >= POSITIONS_FOR_ONE_PRODUCT:
        merged = weight.transpose(0, 1).reshape(d_model, heads * d_head)
        return F.linear(x, merged.mT, bias.reshape(-1)).view(*positions, heads, d_head)
    by_head = torch.baddbmm(bias[:, None], x.reshape(-1, d_model).expand(heads, -1, -1), weight)
    return by_head.transpose(0, 1).contiguous().view(*positions, heads, d_head)


def _check_kind(cfg: HookedTransformerConfig, attn_type: str, layer_id: int | None) -> None:
    if attn_type not in ("global", "local"):
        raise ValueError(f"attn_type must be 'global' or 'local', not {attn_type!r}.")
    if attn_type == "local" and cfg.window_size is None:
        raise ValueError("local attention needs a window_size in the config.")
    if cfg.scale_attn_by_inverse_layer_idx and layer_id is None:
        raise ValueError("scale_attn_by_inverse_layer_idx needs to know the layer: give layer_id.")
