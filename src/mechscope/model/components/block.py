"""One transformer block: attention and MLP around the residual stream."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn

from mechscope.model.components.attention import Attention, ByHead, ByKeyValueHead
from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.calling import run_attention
from mechscope.model.components.component import Component
from mechscope.model.components.grouped_attention import GroupedQueryAttention
from mechscope.model.components.mlp import MLP, make_mlp
from mechscope.model.components.normalization import make_norm, make_output_norm
from mechscope.model.components.rotary import RotaryTable
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.hook_points import HookPoint
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry


class TransformerBlock(Component):
    """resid_mid = resid_pre + attention(ln1(resid_pre)); resid_post = resid_mid + mlp(ln2(resid_mid)).

    Parallel blocks give attention and MLP the same resid_pre; attention-only blocks stop at
    resid_mid, which is then resid_post, and have no `mlp`.
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
        """The class of norm that the config names."""
        return self.cfg.normalization_type

    def forward(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None = None,
        past_kv_cache_entry: HookedTransformerKeyValueCacheEntry | None = None,
        attention_mask: torch.Tensor | None = None,
        *,
        mask: AttentionMask | None = None,
        positions: Int[torch.Tensor, "batch pos"] | None = None,
        offset: int = 0,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos d_model] -> [batch pos d_model]

        Args:
            shortformer_pos_embed: added to the input of queries and keys.
            past_kv_cache_entry: this layer's earlier keys and values; the new ones are added to it.
            attention_mask: 0 where a position is padding [batch key], earlier positions included.
            mask, positions, offset: see `Attention.forward`.
        """
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = run_attention(
            self.attn,
            self.attention_inputs(resid_pre, shortformer_pos_embed),
            past_kv_cache_entry,
            attention_mask,
            mask,
            positions,
            offset,
        )
        return self.after_attention(resid_pre, attn_out)

    def after_attention(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        attn_out: Float[torch.Tensor, "batch pos d_model"],
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """resid_post, from what attention made of resid_pre."""
        if self.ln1_post is not None:
            attn_out = self.ln1_post(attn_out)
        attn_out = self.hook_attn_out(attn_out)
        if self.cfg.attn_only:
            return self.hook_resid_post(resid_pre + attn_out)
        if self.cfg.parallel_attn_mlp:
            return self.hook_resid_post(resid_pre + attn_out + self.mlp_output(resid_pre))
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        return self.hook_resid_post(resid_mid + self.mlp_output(resid_mid))

    def mlp_output(
        self, residual: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """What the MLP adds to the residual stream when it reads `residual`."""
        return self.apply_mlp(self.ln2(self.hook_mlp_in(residual)))

    def apply_mlp(
        self, normalized_resid: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The MLP's output for an input that has already been normed."""
        mlp_out = self.mlp(normalized_resid)
        if self.ln2_post is not None:
            mlp_out = self.ln2_post(mlp_out)
        return self.hook_mlp_out(mlp_out)

    def attention_inputs(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        shortformer_pos_embed: Float[torch.Tensor, "batch pos d_model"] | None,
    ) -> tuple[ByHead, ByKeyValueHead, ByKeyValueHead]:
        """What queries, keys and values read: one tensor, unless a hook wants them apart or by head."""
        hooks = (self.hook_attn_in, self.hook_q_input, self.hook_k_input, self.hook_v_input)
        if shortformer_pos_embed is None and not any(hook.watched for hook in hooks):
            normalized = self.ln1(resid_pre)
            return normalized, normalized, normalized
        shared = resid_pre
        if self.hook_attn_in.watched:
            if self.attn.grouped:
                raise ValueError(
                    f"{self.hook_attn_in.name!r} has a slice for each of {self.cfg.n_heads} query heads, but this "
                    f"model's keys and values have {self.cfg.n_kv_heads} heads: hook hook_q_input, hook_k_input "
                    "and hook_v_input instead."
                )
            shared = self.hook_attn_in(by_head(resid_pre, self.cfg.n_heads))
        kv_heads = self.cfg.n_kv_heads
        split = {
            "q": (self.hook_q_input, self.cfg.n_heads),
            "k": (self.hook_k_input, kv_heads),
            "v": (self.hook_v_input, kv_heads),
        }
        normalized: Any = None
        with_positions: Any = None
        inputs: list[torch.Tensor] = []
        for which, (hook, heads) in split.items():
            if hook.watched:
                read: torch.Tensor = self.ln1(hook(by_head(shared, heads)))
                if which != "v":
                    read = _add_positions(read, shortformer_pos_embed)
            else:
                if normalized is None:
                    normalized = self.ln1(shared)
                    with_positions = _add_positions(normalized, shortformer_pos_embed)
                read = normalized if which == "v" else with_positions
            inputs.append(read)
        return inputs[0], inputs[1], inputs[2]


def by_head(residual: ByHead, heads: int) -> Float[torch.Tensor, "batch pos head d_model"]:
    """[batch pos d_model] -> [batch pos head d_model], every head reading the same."""
    if residual.ndim == 4:
        return residual
    return residual.unsqueeze(2).expand(-1, -1, heads, -1)


def _add_positions(read: torch.Tensor, shortformer_pos_embed: torch.Tensor | None) -> torch.Tensor:
    if shortformer_pos_embed is None:
        return read
    return read + (shortformer_pos_embed.unsqueeze(2) if read.ndim == 4 else shortformer_pos_embed)
