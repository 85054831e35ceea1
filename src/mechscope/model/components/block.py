"""One transformer block: attention and MLP around the residual stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from einops import einsum, repeat
from jaxtyping import Float
from torch import nn

from mechscope.model.components._calling import run_attention
from mechscope.model.components._component import Component
from mechscope.model.components.attention import Attention, ByHead, ByKeyValueHead
from mechscope.model.components.grouped_attention import GroupedQueryAttention
from mechscope.model.components.mlp import MLP, make_mlp
from mechscope.model.components.normalization import Norm, make_norm, make_output_norm
from mechscope.model.components.pass_context import PassContext
from mechscope.model.components.rotary import RotaryTable
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.gradients import gradients_on
from mechscope.model.hook_points import HookPoint
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry
from mechscope.model.precision import at_least_float32


class TransformerBlock(Component):
    """resid_mid = resid_pre + attention(ln1(resid_pre)); resid_post = resid_mid + mlp(ln2(resid_mid)).

    In parallel blocks, attention and MLP both read resid_pre. Attention-only blocks have no `mlp`: their resid_post is
    resid_pre + attention(ln1(resid_pre)).

    Args:
        cfg: the model's config.
        block_index: the number of the block.
        rotary: the table that rotates queries and keys; None makes one if positions are rotary.
    """

    mlp: MLP

    def __init__(self, cfg: ConfigLike, block_index: int = 0, rotary: RotaryTable | None = None) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        reads_norm = cfg.norm_placement != "post"
        writes_norm = cfg.norm_placement != "pre"
        self.ln1 = make_norm(cfg) if reads_norm else nn.Identity()
        attention = Attention if cfg.n_key_value_heads is None else GroupedQueryAttention
        attn_type = "global" if cfg.attn_types is None else cfg.attn_types[block_index]
        self.attn = attention(cfg, attn_type, block_index, rotary)
        self.ln1_post = make_output_norm(cfg) if writes_norm else None
        if not cfg.attn_only:
            self.mlp = make_mlp(cfg)
            self.ln2 = make_norm(cfg) if reads_norm else nn.Identity()
            self.ln2_post = make_output_norm(cfg) if writes_norm else None
            self.hook_mlp_in = HookPoint()
            self.hook_mlp_out = HookPoint()
        self.hook_attn_in = HookPoint()
        self.hook_q_input = HookPoint()
        self.hook_k_input = HookPoint()
        self.hook_v_input = HookPoint()
        self.hook_attn_out = HookPoint()
        self.hook_resid_pre = HookPoint()
        if not (cfg.attn_only or cfg.parallel_attn_mlp):
            self.hook_resid_mid = HookPoint()
        self.hook_resid_post = HookPoint()

    @property
    def normalization_type(self) -> str | None:
        """The normalization type of the config."""
        return self.cfg.normalization_type

    def forward(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None = None,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
        attention_mask: torch.Tensor | None = None,
        *,
        context: PassContext | None = None,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The residual stream after the block [batch pos d_model].

        Args:
            resid_pre: the residual stream before the block.
            shortformer_pos_embed: added to the input of queries and keys.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            attention_mask: 0 where a position is padding [batch key], earlier positions included.
            context: mask and positions of the pass, if already known; it replaces `attention_mask`.
        """
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = run_attention(
            self.attn,
            self.attention_inputs(resid_pre, shortformer_pos_embed),
            past_kv_cache_entry,
            attention_mask,
            context,
        )
        return self.after_attention(resid_pre, attn_out)

    def after_attention(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        attn_out: Float[torch.Tensor, "batch pos d_model"],
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """resid_post, from resid_pre and the output of attention."""
        attn_out = self.hook_attn_out(self._normalized_output(attn_out))
        if self.cfg.attn_only:
            return self.hook_resid_post(resid_pre + attn_out)
        if self.cfg.parallel_attn_mlp:
            return self.hook_resid_post(resid_pre + attn_out + self.mlp_output(resid_pre))
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        return self.hook_resid_post(resid_mid + self.mlp_output(resid_mid))

    def _normalized_output(self, attn_out: torch.Tensor) -> torch.Tensor:
        return attn_out if self.ln1_post is None else self.ln1_post(attn_out)

    def after_heads(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        z: Float[torch.Tensor, "batch pos head d_head"],
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """resid_post, from resid_pre and the heads' z."""
        return self.after_attention(resid_pre, self.attn.output(z))

    def at_queries(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        context: PassContext,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
    ) -> Float[torch.Tensor, "batch query d_model"]:
        """resid_post at the queries that the context names; at other positions, only keys and values are computed.

        Args:
            resid_pre: the residual stream before the block.
            context: mask, positions and queries.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
        """
        query_input, key_input, value_input = self.attention_inputs(resid_pre, context.shortformer_pos_embed)
        z = self.attn.head_outputs(
            context.at_queries(query_input), key_input, value_input, context, past_kv_cache_entry
        )
        return self.after_heads(context.at_queries(resid_pre), z)

    # Inputs and outputs of single heads -------------------------------------------------------

    def attention_output(
        self, z: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """What attention adds to the residual stream, from the heads' z."""
        return self._normalized_output(self.attn.output(z))

    def head_contributions(
        self, z: Float[torch.Tensor, "batch pos head d_head"], heads: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "head batch pos d_model"]:
        """What each head adds to the residual stream; with `attention_constant`, the sum is `attention_output`.

        If the output of attention is normalized, a head's contribution is its result plus an equal share of b_O,
        centred and divided like the whole output: the contributions and the norm's shift add up exactly.

        Args:
            z: the heads' z.
            heads: which heads `z` holds; None means all. Only without an output norm.
        """
        attn = self.attn
        weight = attn.W_O if heads is None else attn.W_O[heads]
        result = einsum(z, weight, "batch pos head d_head, head d_head d_model -> head batch pos d_model")
        norm = self.ln1_post
        if norm is None:
            return result
        assert isinstance(norm, Norm)
        share = at_least_float32(result) + attn.b_O / len(result)
        if norm.centre:
            share = share - share.mean(-1, keepdim=True)
        scale = (share.sum(0).pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
        return (share / scale if norm.w is None else share / scale * norm.w).to(result.dtype)

    @property
    def attention_constant(self) -> Float[torch.Tensor, " d_model"]:
        """What attention adds to the residual stream in addition to its heads' contributions; a constant."""
        norm = self.ln1_post
        if norm is None:
            return self.attn.b_O
        assert isinstance(norm, Norm)
        return torch.zeros_like(self.attn.b_O) if norm.b is None else norm.b

    @property
    def heads_interact(self) -> bool:
        """Whether a norm over all heads lets each head change the output of the others.

        In such a model a head has an effect even if nothing reads its output.
        """
        return self.ln1_post is not None or self.cfg.qk_norm == "full"

    @property
    def can_run_some_heads(self) -> bool:
        """Whether the outputs of some heads can be computed without the others (see `Attention.head_outputs`)."""
        return self.attn.can_run_some_heads and not self.heads_interact

    def head_input_gradients(
        self, resid_pre: Float[torch.Tensor, "batch pos d_model"], gradients: Sequence[torch.Tensor]
    ) -> Float[torch.Tensor, "input batch pos d_model"]:
        """Gradients at the inputs of each head's queries, keys and values, from those at `Attention.projections`.

        Args:
            resid_pre: the residual stream that all of them read.
            gradients: one for each of the projections.
        """
        with torch.no_grad():
            at_norm = self.attn.input_gradients(gradients)
        with gradients_on("propagating gradients through a norm"):
            copies = repeat(
                resid_pre.detach(), "batch pos d_model -> input batch pos d_model", input=len(at_norm)
            ).requires_grad_()
            normalized = self.ln1(copies)
            if normalized is copies:  # no norm
                return at_norm
            return torch.autograd.grad(normalized, copies, at_norm)[0]

    # Sublayers -------------------------------------------------------------------------------

    def mlp_output(
        self, residual: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """What the MLP adds to the residual stream when it reads `residual`."""
        return self.apply_mlp(self.ln2(self.hook_mlp_in(residual)))

    def apply_mlp(
        self, normalized_resid: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The output of the MLP for an input that is already normalized."""
        mlp_out = self.mlp(normalized_resid)
        if self.ln2_post is not None:
            mlp_out = self.ln2_post(mlp_out)
        return self.hook_mlp_out(mlp_out)

    def attention_input(
        self,
        which: Literal["q", "k", "v"],
        residual: ByHead,
        shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None,
    ) -> ByHead:
        """The input of queries, keys or values, computed from their own residual stream, which may be split by head.

        Args:
            which: "q", "k" or "v".
            residual: their residual stream.
            shortformer_pos_embed: added to the input of queries and keys.
        """
        read = self.ln1(residual)
        return read if which == "v" else _add_positions(read, shortformer_pos_embed)

    def attention_inputs(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None,
    ) -> tuple[ByHead, ByKeyValueHead, ByKeyValueHead]:
        """The inputs of queries, keys and values: one shared tensor, unless a hook needs separate ones.

        Args:
            resid_pre: the residual stream before the block.
            shortformer_pos_embed: added to the input of queries and keys.

        Raises:
            ValueError: for a hook on `hook_attn_in` in a model with grouped keys and values.
        """
        hooks = (self.hook_attn_in, self.hook_q_input, self.hook_k_input, self.hook_v_input)
        if shortformer_pos_embed is None and not any(hook.watched for hook in hooks):
            normalized = self.ln1(resid_pre)
            return normalized, normalized, normalized
        shared = resid_pre
        if self.hook_attn_in.watched:
            if self.attn.grouped:
                raise ValueError(
                    f"{self.hook_attn_in.name!r} has one slice for each of {self.cfg.n_heads} query heads, but this "
                    f"model's keys and values have {self.cfg.n_kv_heads} heads: use hook_q_input, hook_k_input "
                    "and hook_v_input instead."
                )
            shared = self.hook_attn_in(by_head(resid_pre, self.cfg.n_heads))
        kv_heads = self.cfg.n_kv_heads
        split: dict[Literal["q", "k", "v"], tuple[HookPoint, int]] = {
            "q": (self.hook_q_input, self.cfg.n_heads),
            "k": (self.hook_k_input, kv_heads),
            "v": (self.hook_v_input, kv_heads),
        }
        normalized: Any = None
        with_positions: Any = None
        inputs: list[torch.Tensor] = []
        for which, (hook, heads) in split.items():
            if hook.watched:
                read = self.attention_input(which, hook(by_head(shared, heads)), shortformer_pos_embed)
            else:
                if normalized is None:
                    normalized = self.ln1(shared)
                    with_positions = _add_positions(normalized, shortformer_pos_embed)
                read = normalized if which == "v" else with_positions
            inputs.append(read)
        return inputs[0], inputs[1], inputs[2]


def by_head(residual: ByHead, heads: int) -> Float[torch.Tensor, "batch pos head d_model"]:
    """[batch pos d_model] -> [batch pos head d_model], the same for every head; inputs by head are unchanged."""
    if residual.ndim == 4:
        return residual
    return residual.unsqueeze(2).expand(-1, -1, heads, -1)


def _add_positions(read: torch.Tensor, shortformer_pos_embed: torch.Tensor | None) -> torch.Tensor:
    if shortformer_pos_embed is None:
        return read
    return read + (shortformer_pos_embed.unsqueeze(2) if read.ndim == 4 else shortformer_pos_embed)
