"""Crosscoders: one set of features that reads and writes several layers at once.

Lindsey et al. 2024, "Sparse Crosscoders". The layers are concatenated in d_in, so that one product sums the layers'
encoders. The difference to a ReLU dictionary is the penalty, which sums a feature's decoder norms over layers.
"""

from __future__ import annotations

from typing import cast

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.architectures.relu import ReluDictionary
from mechscope.dictionaries.config import CrosscoderConfig


class Crosscoder(ReluDictionary):
    """Reads [*batch, layer · d_model]; penalty l1 · Σ f · Σ_layer ‖W_dec[layer]‖."""

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return cast("CrosscoderConfig", self.cfg).n_layers

    def decoders(self) -> Float[Tensor, "layer feature d_model"]:
        """W_dec by layer; a feature's norms show in which layers it is active."""
        return rearrange(self.W_dec, "feature (layer d_model) -> layer feature d_model", layer=self.n_layers)

    def encoders(self) -> Float[Tensor, "layer d_model feature"]:
        """W_enc by layer."""
        return rearrange(self.W_enc, "(layer d_model) feature -> layer d_model feature", layer=self.n_layers)

    def penalty_weights(self) -> Float[Tensor, " feature"]:
        """Each feature's decoder norms, summed over layers."""
        return self.decoders().norm(dim=-1).sum(0)
