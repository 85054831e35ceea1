"""How often features are active: L0, densities, dead features, and a histogram of log10 densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.dictionaries.features import Features, times_active
from mechscope.results import Provenance, Result, make_result


class ActivityCounts:
    """Counts activity over batches of examples."""

    def __init__(self) -> None:
        self.examples = 0
        self.times: Int[Tensor, " feature"] | None = None

    def add(self, features: Features) -> None:
        """Add a batch."""
        times = times_active(features).cpu().long()
        shape = features.shape if isinstance(features, Tensor) else features.values.shape
        self.examples += int(np.prod(shape[:-1]))
        self.times = times if self.times is None else self.times + times

    def activity(self) -> Activity:
        """The activity of everything that was added.

        Raises:
            ValueError: if nothing was counted.
        """
        if self.times is None or not self.examples:
            raise ValueError("no features were counted; add a batch first.")
        return Activity(self.examples, self.times)


@dataclass(frozen=True)
class Activity:
    """How often each feature was active, that is above zero."""

    examples: int
    """Number of examples."""
    times: Int[Tensor, " feature"]
    """Number of examples in which each feature was active."""

    __repr__ = brief_repr

    @property
    def l0(self) -> float:
        """Average number of active features per example."""
        return float(self.times.sum()) / self.examples

    @property
    def densities(self) -> Float[Tensor, " feature"]:
        """The share of examples in which each feature is active."""
        return self.times.double() / self.examples

    @property
    def dead_share(self) -> float:
        """The share of features that were never active in these examples (with more examples it may be smaller)."""
        return float((self.times == 0).double().mean())

    def histogram(self, provenance: Provenance, bins: int = 40) -> Result:
        """A histogram of log10 densities (bin), without dead features.

        It starts at the density of a single active example, the lowest that is possible.

        Raises:
            ValueError: for fewer than one bin.
        """
        if bins < 1:
            raise ValueError(f"a histogram needs at least one bin, not {bins}.")
        alive = self.densities[self.times > 0].log10().numpy()
        low = -np.log10(self.examples) if self.examples > 1 else -1.0
        counts, edges = np.histogram(alive, bins=bins, range=(low, 0.0))
        dead = int((self.times == 0).sum())
        return make_result(
            counts,
            ("bin",),
            f"Feature densities (log10) over {self.examples} examples; {dead} of {len(self.times)} never active",
            "features",
            provenance,
            {"bin": (edges[:-1] + edges[1:]) / 2},
            kind="bars",
        )


@checked_arguments
def activity(features: Features) -> Activity:
    """The activity in one set of examples.

    >>> import torch
    >>> activity(torch.tensor([[1.0, 0.0, 0.0], [2.0, 3.0, 0.0]])).l0
    1.5
    """
    counts = ActivityCounts()
    counts.add(features)
    return counts.activity()
