"""Cosine similarity between activations and their reconstructions: direction without length."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class MeanCosine:
    """The mean over examples, batch by batch. A zero vector has cosine 0 with everything."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0

    def add(self, target: Float[Tensor, "batch d_out"], reconstruction: Float[Tensor, "batch d_out"]) -> None:
        """Take a batch in."""
        cosines = F.cosine_similarity(target.detach().double(), reconstruction.detach().double(), dim=-1)
        self.sum += float(cosines.sum())
        self.count += len(target)

    @property
    def value(self) -> float:
        """Between -1 and 1; NaN before anything was added."""
        return self.sum / self.count if self.count else float("nan")
