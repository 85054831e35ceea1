"""Metrics of circuits as shares of what separates the model from the model with every edge patched."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from mechscope.tasks.task import Baselines
from mechscope.techniques.circuits.masked_run import MaskedRun

RESAMPLES = 1000


class ShareOfDifference:
    """(m(C) - m(∅)) / (m(M) - m(∅)) of means over examples.

    Args:
        run: gives the model and the task.
        seed: of the bootstrap.

    Raises:
        ValueError: where the model and the model with every edge patched score alike.
    """

    def __init__(self, run: MaskedRun, seed: int) -> None:
        graph, baselines = run.graph, run.baselines
        ends = run.measure(torch.stack([graph.valid, torch.zeros_like(graph.valid)]))
        Baselines(ends[0], ends[1], baselines.clean_logits, baselines.corrupted_logits).check_difference()
        self.model, self.nothing = ends.double().cpu().numpy()
        drawn = np.random.default_rng(seed).integers(len(self.model), size=(RESAMPLES, len(self.model)))
        # How often each example was drawn, so that all means are one product.
        self._counts = np.stack([np.bincount(row, minlength=len(self.model)) for row in drawn])

    def of(self, values: Float[torch.Tensor, "circuit batch"]) -> np.ndarray:
        """The share of each circuit [circuit]."""
        means = values.double().cpu().numpy().mean(1)
        return (means - self.nothing.mean()) / (self.model.mean() - self.nothing.mean())

    def resampled(self, values: Float[torch.Tensor, "circuit batch"]) -> np.ndarray:
        """The shares under redrawn examples, the same for all circuits [resample circuit].

        Draws in which the two ends score alike are left out.
        """
        sums = self._counts @ values.double().cpu().numpy().T
        low, high = self._counts @ self.nothing, self._counts @ self.model
        apart = np.abs(high - low) > 1e-9 * np.abs(high - low).max()
        return (sums - low[:, None])[apart] / (high - low)[apart, None]
