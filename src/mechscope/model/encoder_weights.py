"""An encoder's weights under their classic names."""

from __future__ import annotations

import torch

from mechscope.model.encoder_components import BertEmbed
from mechscope.model.weight_properties import WeightProperties


class EncoderWeights(WeightProperties):
    """`encoder.W_Q` and its like; the embeddings lie one level deeper than a decoder's."""

    embed: BertEmbed

    @property
    def W_E(self) -> torch.Tensor:
        """Token embedding [d_vocab d_model]."""
        return self.embed.embed.W_E

    @property
    def W_pos(self) -> torch.Tensor:
        """Position embedding [n_ctx d_model]."""
        return self.embed.pos_embed.W_pos

    @property
    def W_token_type(self) -> torch.Tensor:
        """Token type embedding [token_type d_model]."""
        return self.embed.token_type_embed.W_token_type

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> torch.Tensor:
        """Refused: an encoder norms its stream after every sum, so biases do not add up in it."""
        raise ValueError("an encoder norms its stream after every sum: biases are no separate term of it.")
