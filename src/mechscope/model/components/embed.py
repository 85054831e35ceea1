"""Token and position embeddings, and the unembedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import nn

from mechscope.model._weight_views import tied_weight
from mechscope.model.components._component import Component
from mechscope.model.components.normalization import LayerNorm
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.padding import get_offset_position_ids


class Embed(Component):
    """The token embedding: row `t` of W_E [d_vocab d_model] for token `t`."""

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.ln = LayerNorm(cfg) if cfg.post_embedding_ln else None

    def forward(self, tokens: Int[torch.Tensor, "batch pos"]) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos] -> [batch pos d_model]"""
        embedded = F.embedding(tokens, self.W_E)
        return embedded if self.ln is None else self.ln(embedded)


class PosEmbed(Component):
    """The position embedding: row `p` of W_pos [n_ctx d_model] for position `p`."""

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model, dtype=cfg.dtype, device=cfg.device))

    def forward(
        self,
        tokens: Int[torch.Tensor, "batch pos"],
        past_kv_pos_offset: int = 0,
        attention_mask: torch.Tensor | None = None,
        *,
        positions: Int[torch.Tensor, "batch pos"] | None = None,
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """Position embeddings [batch pos d_model].

        Args:
            tokens: the tokens, of which only the shape is used.
            past_kv_pos_offset: how many positions came before the first token.
            attention_mask: 0 where a position is padding [batch all_pos], earlier positions included.
            positions: the position of each token [batch pos], if already computed.
        """
        if attention_mask is not None:
            positions = get_offset_position_ids(past_kv_pos_offset, attention_mask.to(tokens.device))
        if positions is not None:
            return F.embedding(positions, self.W_pos)
        batch, length = tokens.shape[:2]
        # A copy, because a caller's edit must not reach the weights.
        return self.W_pos[past_kv_pos_offset : past_kv_pos_offset + length].repeat(batch, 1, 1)


class Unembed(Component):
    """The unembedding: logits = x W_U + b_U, with W_U [d_model d_vocab_out]."""

    W_U: torch.Tensor

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        if not cfg.tie_word_embeddings:
            self.W_U = nn.Parameter(
                torch.empty(cfg.d_model, cfg.d_vocab_out, dtype=cfg.dtype, device=cfg.device)
            )
        self.b_U = nn.Parameter(torch.zeros(cfg.d_vocab_out, dtype=cfg.dtype, device=cfg.device))

    def forward(
        self, residual: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_vocab_out"]:
        """[batch pos d_model] -> [batch pos d_vocab_out], with the soft cap of the config."""
        return self._cap(F.linear(residual, self._by_token(), self.b_U))

    def only(
        self, residual: Float[torch.Tensor, "batch pos d_model"], tokens: Int[torch.Tensor, " token"]
    ) -> Float[torch.Tensor, "batch pos token"]:
        """The logits of some tokens only: [batch pos d_model] -> [batch pos token]"""
        return self._cap(F.linear(residual, self._by_token()[tokens], self.b_U[tokens]))

    def _by_token(self) -> Float[torch.Tensor, "d_vocab_out d_model"]:
        """W_U transposed."""
        return self.W_U.mT

    def _cap(self, logits: torch.Tensor) -> torch.Tensor:
        cap = self.cfg.output_logits_soft_cap
        return logits if cap <= 0 else cap * torch.tanh(logits / cap)


class TiedUnembed(Unembed):
    """An unembedding that is the transpose of the embedding: both are one parameter."""

    def __init__(self, cfg: ConfigLike, embed: Embed) -> None:
        super().__init__(cfg)
        self._embed = (embed,)  # a tuple, so that torch does not register the embedding a second time

    @property
    def W_U(self) -> torch.Tensor:  # type: ignore[override]
        return tied_weight(
            self._by_token().mT,
            "in this model W_U is the transpose of W_E and shares its memory; assign new data to embed.W_E, or write "
            "into W_U inside torch.no_grad()",
        )

    def _by_token(self) -> Float[torch.Tensor, "d_vocab_out d_model"]:
        return self._embed[0].W_E
