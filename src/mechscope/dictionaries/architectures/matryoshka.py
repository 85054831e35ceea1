"""Matryoshka dictionaries: the first features must also reconstruct on their own, so general features are not split.

Bussmann et al. 2025, "Learning Multi-Level Features with Matryoshka Sparse Autoencoders".
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mechscope.dictionaries.architectures.batch_topk import BatchTopKDictionary
from mechscope.dictionaries.config import MatryoshkaConfig
from mechscope.dictionaries.losses import squared_error


class MatryoshkaDictionary(BatchTopKDictionary):
    """BatchTopK whose loss also contains the squared error of each nested dictionary, "mse_first_<width>"."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of features of each nested dictionary."""
        return cast("MatryoshkaConfig", self.cfg).widths

    def _penalties(
        self, z: Tensor, target: Tensor, pre: Tensor, features: Tensor, sparsity: float
    ) -> dict[str, Tensor]:
        if self.rescales:
            features = features / self.nonzero_norms()
        written = torch.zeros_like(target)
        parts: dict[str, Tensor] = {}
        begin = 0
        # The widest is the whole dictionary, whose error is already in the loss.
        for width in self.widths[:-1]:
            # The part of the first features that is held on this rank.
            end = min(max(width - self.mine.start, 0), self.features_here)
            written = features[:, begin:end] @ self.W_dec[begin:end] + written
            parts[f"mse_first_{width}"] = squared_error(self._complete(written, z), target)
            begin = end
        return parts
