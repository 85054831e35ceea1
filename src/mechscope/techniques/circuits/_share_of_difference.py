"""Metrics of circuits as shares of the difference between the whole model and the model with every edge patched."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from mechscope.results.bootstrap import Floats, bootstrap_distribution
from mechscope.tasks.task import Baselines
from mechscope.techniques.circuits.masked_run import MaskedRun

RESAMPLES = 1000


class ShareOfDifference:
    """(m(C) - m(∅)) / (m(M) - m(∅)), where each m is the mean metric over examples.

    Args:
        run: provides the model and the task.
        seed: seed of the bootstrap.

    Raises:
        ValueError: if the model and the model with every edge patched score alike.
    """

    def __init__(self, run: MaskedRun, seed: int) -> None:
        graph = run.graph
        ends = run.measure(torch.stack([graph.valid, torch.zeros_like(graph.valid)]))
        Baselines(ends[0], ends[1]).check_difference()
        self.model, self.nothing = ends.double().cpu().numpy()
        self.seed = seed

    def of(self, values: Float[torch.Tensor, "circuit batch"]) -> np.ndarray:
        """The share of each circuit [circuit]."""
        means = values.double().cpu().numpy().mean(1)
        return (means - self.nothing.mean()) / (self.model.mean() - self.nothing.mean())

    def resampled(self, values: Float[torch.Tensor, "circuit batch"]) -> Floats:
        """The shares on resampled examples, the same resamples for all circuits [resample circuit].

        Resamples on which model and fully patched model score alike are omitted.
        """
        metrics = values.double().cpu().numpy()
        n_examples = len(self.model)

        def shares(rows: np.ndarray) -> Floats:
            # Counting how often each example was drawn turns all means into one matrix product.
            counts = np.stack([np.bincount(row, minlength=n_examples) for row in rows])
            low, high = counts @ self.nothing, counts @ self.model
            apart = np.abs(high - low) > 1e-9 * np.abs(high - low).max()
            difference = np.where(apart, high - low, np.nan)
            return ((counts @ metrics.T - low[:, None]) / difference[:, None]).T

        found = bootstrap_distribution(
            [np.arange(n_examples)], shares, resamples=RESAMPLES, rng=np.random.default_rng(self.seed)
        )
        return found[:, np.isfinite(found).all(0)].T
