"""Gated dictionaries: one encoder decides which features are active, another how strongly; both share directions.

Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse Autoencoders", sections 3.2 and 3.3.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechscope.dictionaries._encoder_product import encoder_product
from mechscope.dictionaries.config import GatedConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.losses import squared_error
from mechscope.model.precision import at_least_float32


class GatedDictionary(Dictionary):
    """f = [gate > 0] · ReLU(magnitude), with gate = z W_enc + b_gate and magnitude = z W_enc · exp(r_mag) + b_mag.

    The penalty acts on ReLU(gate). A further term of the loss makes ReLU(gate) reconstruct the input as well, without
    training the decoder.
    """

    b_gate: Float[Tensor, " feature"]
    b_mag: Float[Tensor, " feature"]
    r_mag: Float[Tensor, " feature"]

    def _add_parameters(self, dtype: torch.dtype) -> None:
        for name in ("b_gate", "b_mag", "r_mag"):
            setattr(self, name, nn.Parameter(torch.zeros(self.features_here, dtype=dtype)))

    def _pre(self, z: Tensor) -> Tensor:
        """z W_enc, without the biases."""
        return encoder_product(z, self.b_dec if self.cfg.subtract_b_dec else None, self.W_enc, None)

    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The magnitudes of the features whose gates are open."""
        is_open = (pre + self.b_gate > 0).to(pre.dtype)
        return is_open * torch.relu(pre * self.r_mag.exp() + self.b_mag)

    def _penalties(
        self, z: Tensor, target: Tensor, pre: Tensor, features: Tensor, sparsity: float
    ) -> dict[str, Tensor]:
        gates = torch.relu(pre + self.b_gate)
        decoder = self.W_dec.detach()
        weights = 1.0 if self.cfg.decoder_norm == "unit" else self.decoder_norms()
        written = self.ranks.sum(gates @ decoder) + self.b_dec.detach()
        if self.W_skip is not None:
            written = written + z @ self.W_skip.detach().T
        return {
            "l1": sparsity
            * cast("GatedConfig", self.cfg).l1
            * self.ranks.sum((at_least_float32(gates) * weights).sum(-1).mean()),
            "gate": squared_error(written, target.detach()),
        }

    def _multiply_features(self, factor: Tensor) -> None:
        self.W_enc.mul_(factor)
        self.b_gate.mul_(factor)
        self.b_mag.mul_(factor)
        self.W_dec.div_(factor[:, None])

    def _gate_bias(self) -> Tensor:
        return self.b_gate
