"""The metrics of reconstructions, over ordinary activations alone and over all of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor

from mechscope.dictionaries.evaluation._batches import Codes
from mechscope.dictionaries.evaluation.cosine import MeanCosine
from mechscope.dictionaries.evaluation.density import ActivityCounts
from mechscope.dictionaries.evaluation.shrinkage import Shrinkage
from mechscope.dictionaries.evaluation.variance import VarianceUnexplained
from mechscope.dictionaries.outliers import OutlierLimits


@dataclass(frozen=True)
class Fidelity:
    """How well a dictionary reconstructs some activations."""

    examples: int
    """Number of activation vectors."""
    l0: float
    """Active features per example."""
    fvu: float
    """Fraction of variance unexplained."""
    cosine: float
    """Mean cosine of activation and reconstruction."""
    bias: float
    """Relative reconstruction bias."""
    length_ratio: float
    """Mean length of reconstructions over that of activations."""


class FidelitySums:
    """Running sums of all metrics of reconstructions."""

    def __init__(self) -> None:
        self.counts, self.variance = ActivityCounts(), VarianceUnexplained()
        self.cosine, self.shrinkage = MeanCosine(), Shrinkage()

    def add(self, dictionary: Codes, x: Tensor, y: Tensor) -> None:
        """Encode and decode a batch, and add it.

        Raises:
            ValueError: if the reconstructions have another width than the targets.
        """
        sparse = getattr(dictionary, "encode_sparse", None)
        features = dictionary.encode(x) if sparse is None else sparse(x)
        reconstruction = dictionary.decode(features, x)
        if reconstruction.shape != y.shape:
            raise ValueError(
                f"the dictionary writes {tuple(reconstruction.shape)}, but its targets are {tuple(y.shape)}: "
                "a transcoder's data are pairs of inputs and targets."
            )
        self.counts.add(features)
        for sums in (self.variance, self.cosine, self.shrinkage):
            sums.add(y, reconstruction)

    def fidelity(self) -> Fidelity:
        """The metrics of everything that was added."""
        activity = self.counts.activity()
        return Fidelity(
            activity.examples,
            activity.l0,
            self.variance.value,
            self.cosine.value,
            self.shrinkage.bias,
            self.shrinkage.length_ratio,
        )


class SplitSums:
    """Sums over ordinary activations and, from the first outlier on, over all activations."""

    def __init__(self, limits: OutlierLimits) -> None:
        self.limits = limits
        self.ordinary = FidelitySums()
        self.all: FidelitySums | None = None
        """None while there was no outlier: then both are the same."""
        self.outliers = 0

    def add(self, dictionary: Codes, x: Tensor, y: Tensor) -> None:
        """Add a batch of inputs and targets; an autoencoder's targets are its inputs.

        Raises:
            ValueError: as `FidelitySums.add`.
        """
        outliers = self.limits.outliers(x, None if y is x else y) if self.limits.exist else None
        if outliers is not None and bool(outliers.any()):
            self.outliers += int(outliers.sum())
            if self.all is None:
                self.all = copy.deepcopy(self.ordinary)
            self.all.add(dictionary, x, y)
            x, y = x[~outliers], y[~outliers]
            if len(x):
                self.ordinary.add(dictionary, x, y)
            return
        for sums in (self.ordinary, self.all):
            if sums is not None:
                sums.add(dictionary, x, y)
