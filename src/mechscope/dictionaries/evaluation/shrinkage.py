"""Shrinkage: by how much reconstructions are too short or too long."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


class Shrinkage:
    """The relative reconstruction bias and the length ratio, computed batch by batch.

    The bias γ is the factor by which reconstructions would have to be divided to fit best,
    γ = E‖x̂‖² / E[x̂·x]: 1 is unbiased, below 1 the L1 penalty has pulled features towards zero.
    Source: Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse Autoencoders", section 5.
    """

    def __init__(self) -> None:
        self.count = 0
        self.squares = 0.0
        self.products = 0.0
        self.ratios = 0.0

    def add(self, target: Float[Tensor, "batch d_out"], reconstruction: Float[Tensor, "batch d_out"]) -> None:
        """Add a batch."""
        target, reconstruction = target.detach().double(), reconstruction.detach().double()
        self.squares += float(reconstruction.square().sum())
        self.products += float((reconstruction * target).sum())
        lengths = target.norm(dim=-1)
        # An example of length zero has no ratio.
        some = lengths > 0
        self.ratios += float((reconstruction.norm(dim=-1)[some] / lengths[some]).sum())
        self.count += int(some.sum())

    @property
    def bias(self) -> float:
        """γ; NaN if reconstructions are orthogonal to the activations."""
        return self.squares / self.products if self.products > 0 else float("nan")

    @property
    def length_ratio(self) -> float:
        """‖x̂‖/‖x‖, averaged over examples."""
        return self.ratios / self.count if self.count else float("nan")
