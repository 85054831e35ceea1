"""Cosine similarity between activations and their reconstructions, which ignores their lengths."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class MeanCosine:
    """The mean cosine over examples, computed batch by batch. A zero vector has cosine 0 with everything."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0

    def add(self, target: Float[Tensor, "batch d_out"], reconstruction: Float[Tensor, "batch d_out"]) -> None:
        """Add a batch."""
        cosines = F.cosine_similarity(target.detach().double(), reconstruction.detach().double(), dim=-1)
        self.sum += float(cosines.sum())
        self.count += len(target)

    @property
    def value(self) -> float:
        """The mean, between -1 and 1; NaN before a batch was added."""
        return self.sum / self.count if self.count else float("nan")
