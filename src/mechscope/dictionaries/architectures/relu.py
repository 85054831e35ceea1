"""ReLU features under an L1 penalty.

Bricken et al. 2023, "Towards Monosemanticity" (unit rows); Conerly et al. 2024, "Update on how we train SAEs" (free
rows, the penalty weighted by their norms).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.config import ReluConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.model.precision import at_least_float32


class ReluDictionary(Dictionary):
    """f = ReLU(pre); the penalty is l1 · Σ f, or l1 · Σ f‖W_dec‖ if the decoder's rows are free."""

    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The positive part."""
        return torch.relu(pre)

    def penalty_weights(self) -> Float[Tensor, " feature"] | None:
        """The weight of each feature's activation in the penalty; None means 1."""
        return None if self.cfg.decoder_norm == "unit" else self.decoder_norms()

    def _penalties(
        self, z: Tensor, target: Tensor, pre: Tensor, features: Tensor, sparsity: float
    ) -> dict[str, Tensor]:
        weights = self.penalty_weights()
        features = at_least_float32(features)
        summed = features.sum(-1) if weights is None else features @ weights.to(features.dtype)
        return {"l1": sparsity * cast("ReluConfig", self.cfg).l1 * self.ranks.sum(summed.mean())}
