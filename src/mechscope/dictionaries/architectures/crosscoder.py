"""One set of features that reads several layers at once and writes them all.

Lindsey et al. 2024, "Sparse Crosscoders". The layers lie one after another in d_in, so that summing the layers'
encoders is one product; what differs from a ReLU dictionary is that a feature pays for its norm in each layer.
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
        """Layers that are read and written."""
        return cast("CrosscoderConfig", self.cfg).n_layers

    def decoders(self) -> Float[Tensor, "layer feature d_model"]:
        """W_dec layer by layer: where a feature is strong says where it lives."""
        return rearrange(self.W_dec, "feature (layer d_model) -> layer feature d_model", layer=self.n_layers)

    def encoders(self) -> Float[Tensor, "layer d_model feature"]:
        """W_enc layer by layer."""
        return rearrange(self.W_enc, "(layer d_model) feature -> layer d_model feature", layer=self.n_layers)

    def penalty_weights(self) -> Float[Tensor, " feature"]:
        """A feature's decoder norms, summed over layers."""
        return self.decoders().norm(dim=-1).sum(0)
