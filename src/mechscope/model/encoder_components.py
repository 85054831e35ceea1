"""The parts of BERT that a decoder does not have (Devlin et al. 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import nn

from mechscope.model.components import Attention, Embed, LayerNorm, PassContext, PosEmbed
from mechscope.model.components._component import Component
from mechscope.model.components.activations import ACTIVATIONS
from mechscope.model.components.block import by_head
from mechscope.model.components.mlp import make_mlp
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.hook_points import HookPoint

N_TOKEN_TYPES = 2


class TokenTypeEmbed(Component):
    """The embedding of token types, W_token_type [token_type d_model]: 0 for the first sentence, 1 for the second."""

    def __init__(self, cfg: ConfigLike, n_types: int = N_TOKEN_TYPES) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W_token_type = nn.Parameter(
            torch.empty(n_types, cfg.d_model, dtype=cfg.dtype, device=cfg.device)
        )

    def forward(
        self, token_type_ids: Int[torch.Tensor, "batch pos"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos] -> [batch pos d_model]"""
        return F.embedding(token_type_ids, self.W_token_type)


class BertEmbed(Component):
    """LayerNorm(token + position + token type)."""

    def __init__(self, cfg: ConfigLike, n_types: int = N_TOKEN_TYPES) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.embed = Embed(cfg)
        self.pos_embed = PosEmbed(cfg)
        self.token_type_embed = TokenTypeEmbed(cfg, n_types)
        self.ln = LayerNorm(cfg)
        self.hook_embed = HookPoint()
        self.hook_pos_embed = HookPoint()
        self.hook_token_type_embed = HookPoint()

    def forward(
        self,
        input_ids: Int[torch.Tensor, "batch pos"],
        token_type_ids: Int[torch.Tensor, "batch pos"] | None = None,
        *,
        positions: Int[torch.Tensor, "batch pos"] | None = None,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The input of the first block [batch pos d_model].

        Args:
            input_ids: token ids.
            token_type_ids: the sentence that each token belongs to; None means the first.
            positions: the position of each token in its text; None counts from the start of the row.
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        words = self.hook_embed(self.embed(input_ids))
        positions = self.hook_pos_embed(self.pos_embed(input_ids, positions=positions))
        types = self.hook_token_type_embed(self.token_type_embed(token_type_ids))
        return self.ln(words + positions + types)


class BertBlock(Component):
    """resid_mid = x + attention(x); y = ln1(resid_mid); resid_post = y + mlp(y); out = ln2(resid_post).

    A norm follows each sum, so the residual stream is normalized twice per block, and the next block reads
    hook_normalized_resid_post.
    """

    def __init__(self, cfg: ConfigLike, layer: int = 0) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.attn = Attention(cfg, layer_id=layer)
        self.ln1 = LayerNorm(cfg)
        self.mlp = make_mlp(cfg)
        self.ln2 = LayerNorm(cfg)
        self.hook_q_input = HookPoint()
        self.hook_k_input = HookPoint()
        self.hook_v_input = HookPoint()
        self.hook_attn_out = HookPoint()
        self.hook_mlp_in = HookPoint()
        self.hook_mlp_out = HookPoint()
        self.hook_resid_pre = HookPoint()
        self.hook_resid_mid = HookPoint()
        self.hook_resid_post = HookPoint()
        self.hook_normalized_resid_post = HookPoint()

    def forward(
        self,
        resid_pre: Float[torch.Tensor, "batch pos d_model"],
        additive_attention_mask: torch.Tensor | None = None,
        *,
        context: PassContext | None = None,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The normalized residual stream after the block [batch pos d_model].

        Args:
            resid_pre: the residual stream before the block.
            additive_attention_mask: added to the scores, -inf at keys that no query may attend to [batch 1 1 key].
            context: which queries may attend to which keys; None means all of them.
        """
        resid_pre = self.hook_resid_pre(resid_pre)
        inputs = (
            hook(by_head(resid_pre, heads)) if hook.watched else resid_pre
            for hook, heads in (
                (self.hook_q_input, self.cfg.n_heads),
                (self.hook_k_input, self.cfg.n_kv_heads),
                (self.hook_v_input, self.cfg.n_kv_heads),
            )
        )
        attn_out = self.hook_attn_out(
            self.attn(*inputs, additive_attention_mask=additive_attention_mask, context=context)
        )
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        mlp_in = self.hook_mlp_in(self.ln1(resid_mid))
        mlp_out = self.hook_mlp_out(self.mlp(mlp_in))
        resid_post = self.hook_resid_post(mlp_in + mlp_out)
        return self.hook_normalized_resid_post(self.ln2(resid_post))


class BertMLMHead(Component):
    """The layers before the unembedding: a linear layer d_model -> d_model, an activation function and a LayerNorm."""

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W = nn.Parameter(torch.empty(cfg.d_model, cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.b = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.act_fn = ACTIVATIONS[str(cfg.act_fn)]
        self.ln = LayerNorm(cfg)

    def forward(
        self, resid: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos d_model] -> [batch pos d_model]"""
        return self.ln(self.act_fn(F.linear(resid, self.W.mT, self.b)))


class BertPooler(Component):
    """One vector per text: a linear layer and tanh on the hidden state of its first token."""

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W = nn.Parameter(torch.empty(cfg.d_model, cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.b = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.hook_pooler_out = HookPoint()

    def forward(
        self,
        resid: Float[torch.Tensor, "batch pos d_model"],
        attention_mask: Bool[torch.Tensor, "batch pos"] | None = None,
    ) -> Float[torch.Tensor, "batch d_model"]:
        """[batch pos d_model] -> [batch d_model]; with a mask, from the first position where it is True."""
        first = resid[:, 0]
        if attention_mask is not None:
            rows = torch.arange(len(resid), device=resid.device)
            first = resid[rows, attention_mask.to(resid.device, torch.int8).argmax(1)]
        return self.hook_pooler_out(torch.tanh(F.linear(first, self.W.mT, self.b)))


class BertNSPHead(Component):
    """Two logits from the pooled vector: the second sentence follows the first, or does not."""

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W = nn.Parameter(torch.empty(cfg.d_model, 2, dtype=cfg.dtype, device=cfg.device))
        self.b = nn.Parameter(torch.zeros(2, dtype=cfg.dtype, device=cfg.device))
        self.hook_nsp_out = HookPoint()

    def forward(self, resid: Float[torch.Tensor, "batch d_model"]) -> Float[torch.Tensor, "batch 2"]:
        """[batch d_model] -> [batch 2]"""
        return self.hook_nsp_out(F.linear(resid, self.W.mT, self.b))
