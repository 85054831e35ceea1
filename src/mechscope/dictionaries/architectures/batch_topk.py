"""BatchTopK: in training, the k·batch largest pre-activations of a batch; afterwards, those above a threshold.

Bussmann et al. 2024, "BatchTopK Sparse Autoencoders": one example may have more than k active features if another has
fewer. The threshold is the running mean of each batch's smallest active feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self, cast

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.config import BatchTopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed._selection import largest_of_batch
from mechscope.dictionaries.features import SparseFeatures, as_rows
from mechscope.dictionaries.losses import DeadFeatures, Loss


class BatchTopKDictionary(Dictionary):
    """f = pre where it is positive and above the threshold, otherwise 0.

    Before a threshold is known, and in `loss` during training, the k·batch largest positive entries of the batch
    are kept instead.
    """

    threshold: Float[Tensor, ""]
    """The smallest value that counts as active; below 0 until it has been estimated."""

    def _add_parameters(self, dtype: torch.dtype) -> None:
        super()._add_parameters(dtype)
        # Always in float64, because a running mean adds up small differences.
        self.register_buffer("threshold", torch.tensor(-1.0, dtype=torch.float64))
        self._selecting = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert the weights, and move the threshold with them without rounding it."""
        threshold = self.threshold
        super()._apply(fn, recurse)
        self.threshold = threshold.to(self.W_enc.device)
        return self

    @property
    def rescales(self) -> bool:
        """Whether the decoder is used as if it had unit rows."""
        return cast("BatchTopKConfig", self.cfg).rescale_by_decoder_norm

    @property
    def mixes_examples(self) -> bool:
        """True until the threshold is known."""
        return bool(self.threshold < 0)

    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The entries above the threshold, or the largest of the batch."""
        if self.rescales:
            pre = pre * self.decoder_norms()
        positive = torch.relu(pre)
        if self.threshold >= 0 and not self._selecting:
            return positive * (positive > self.threshold.to(pre.dtype))
        count = round(cast("BatchTopKConfig", self.cfg).k * (pre.numel() // pre.shape[-1]))
        best = largest_of_batch(as_rows(positive), count, self.ranks)
        flat = positive.flatten()
        return torch.zeros_like(flat).scatter(0, best, flat[best]).view_as(pre)

    def _write(self, features: Tensor | SparseFeatures, z: Tensor | None = None) -> Tensor:
        if self.rescales:
            features = cast("Tensor", features) / self.nonzero_norms()
        return super()._write(features, z)

    def loss(
        self,
        x: Float[Tensor, "*batch d_in"],
        target: Float[Tensor, "*batch d_out"] | None = None,
        *,
        sparsity: float = 1.0,
        dead: DeadFeatures | None = None,
    ) -> Loss:
        """As `Dictionary.loss`; in training mode, features are selected over the batch and the threshold is updated."""
        self._selecting = self.training
        try:
            loss = super().loss(x, target, sparsity=sparsity, dead=dead)
        finally:
            self._selecting = False
        if self.training:
            self._update_threshold(cast("Tensor", loss.features).detach())
        return loss

    def _update_threshold(self, features: Tensor) -> None:
        active = features[features > 0]
        smallest = self.ranks.least(float(active.min()) if len(active) else math.inf)
        if smallest < math.inf:
            rate = cast("BatchTopKConfig", self.cfg).threshold_rate
            known = bool(self.threshold >= 0)
            now = self.threshold.new_tensor(smallest)
            self.threshold.copy_(torch.lerp(self.threshold, now, rate) if known else now)

    def _multiply_features(self, factor: Tensor) -> None:
        if not self.rescales and self.threshold >= 0:
            # There is one threshold for all features; `norms_fold` made sure that all factors are equal.
            self.threshold.mul_(factor[0].double())
        super()._multiply_features(factor)

    def _fold_scales(self) -> None:
        if self.rescales and self.threshold >= 0:
            # Rescaled features are in the decoder's units, which the scale changes below.
            self.threshold.div_(self.scale_out.double())
        super()._fold_scales()

    @property
    def norms_fold(self) -> bool:
        """True if features are rescaled anyway, or all norms are equal, so that one threshold is still enough."""
        norms = self.decoder_norms()
        return self.rescales or bool(torch.allclose(norms, norms[:1].expand_as(norms), rtol=1e-4, atol=0))
