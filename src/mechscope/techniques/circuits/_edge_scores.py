"""Shared by all methods that estimate edges: batches of examples that fit in memory, and the sign of scores.

A score is a mean over examples in the metric's unit. It estimates how far patching one edge with the corrupted run
would move the metric away from its clean value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.model.precision import at_least_float32
from mechscope.tasks.task import Baselines, Task
from mechscope.techniques.circuits._edge_gradients import edge_gradients
from mechscope.techniques.circuits._node_outputs import Run, plain_run
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.sweep import memory_budget

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Scores = Float[torch.Tensor, "source destination"]


@dataclass(frozen=True)
class Piece:
    """A batch of examples, in both runs."""

    task: Task
    clean: Run
    difference: Float[torch.Tensor, "source batch pos d_model"]
    """What each source writes in the clean run, minus what it writes in the corrupted run."""
    reference: torch.Tensor | None
    """The clean run's logits, for metrics that compare with it."""


class EdgeScores:
    """Sums scores of all edges over the examples of a task.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        graph: the edge graph; by default with separate q, k and v inputs.
        memory: bytes that a batch may use; by default a quarter of the free memory.

    Raises:
        ValueError: for a task that does not fit the model, a metric that is not one finite number per example, or runs
            that score alike.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        graph: EdgeGraph | None = None,
        *,
        memory: int | None = None,
    ) -> None:
        self.model, self.task = model, task
        self.graph = EdgeGraph.of(model) if graph is None else graph
        self.split = self.graph.split
        self.baselines: Baselines = task.baselines(model)
        self.sign = 1.0 if self.baselines.check_difference() > 0 else -1.0
        self.budget = memory_budget(memory, model.W_E.device)
        self.total = torch.zeros(self.split.valid.shape, dtype=torch.float64)

    def pieces(self) -> Iterator[Piece]:
        """Yield the examples, as many at once as the budget allows."""
        n_examples = self.task.n_examples
        count = max(1, min(n_examples, self.budget // (2 * self.bytes_per_example)))
        for start in range(0, n_examples, count):
            rows = slice(start, min(start + count, n_examples))
            task = self.task.select(rows)
            device = self.model.W_E.device
            clean = plain_run(self.model, self.split, task.clean.to(device), task.attention_mask)
            corrupted = plain_run(self.model, self.split, task.corrupted.to(device), task.attention_mask)
            difference = clean.sources - corrupted.sources
            reference = self.baselines.reference
            yield Piece(task, clean, difference, None if reference is None else reference[rows])

    @property
    def bytes_per_example(self) -> int:
        """Roughly the memory of both runs' contributions and of a backward pass."""
        cfg = self.model.cfg
        width = torch.finfo(cfg.dtype).bits // 8 * self.task.length * cfg.d_model
        return width * (3 * len(self.split.sources) + self.bytes_of_pass // max(width, 1) + 64)

    @property
    def bytes_of_pass(self) -> int:
        """Roughly what one example's forward pass keeps for its backward pass."""
        cfg = self.model.cfg
        width = torch.finfo(cfg.dtype).bits // 8 * self.task.length
        mlp = 0 if cfg.attn_only else 3 * (cfg.d_mlp or 0)
        layer = 8 * cfg.d_model + 5 * cfg.n_heads * cfg.d_head + mlp + 2 * cfg.n_heads * self.task.length
        return width * (cfg.n_layers * layer + 2 * cfg.d_vocab_out // max(self.task.length, 1))

    def gradients(
        self,
        piece: Piece,
        residual: torch.Tensor,
        copies: int = 1,
        first: int = 0,
        before_attention: torch.Tensor | None = None,
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Gradients at every destination (see `edge_gradients`) of `copies` runs of a batch, concatenated."""
        device = residual.device
        tokens = piece.task.clean.to(device)
        with torch.no_grad():
            _, context = self.model.start_pass(tokens, piece.task.attention_mask)

        def metric(last: torch.Tensor) -> torch.Tensor:
            parts = [
                piece.task.measure(
                    self.model.unembed(self.model.ln_final(piece.task.at_answers(part))), piece.reference
                )
                for part in last.split(len(tokens))
            ]
            return torch.cat(parts)

        return edge_gradients(
            self.model, self.split, residual, context.repeated(copies), metric, first, before_attention
        )

    def add(self, number: int, gradient: torch.Tensor, difference: torch.Tensor, share: float = 1.0) -> None:
        """Add the scores of edges from all earlier sources to one stage, whose gradients are given."""
        columns = self.split.stages[number].destinations
        earlier = int((self.split.source_stage < number).sum())
        product = at_least_float32(difference[:earlier].flatten(1)) @ at_least_float32(gradient.flatten(1)).T
        self.total[:earlier, columns.start : columns.stop] += product.double().cpu() * share

    def scores(self) -> Scores:
        """The mean over examples; NaN where there is no edge.

        Raises:
            ValueError: if a score is not finite.
        """
        total = self.total * self.sign / self.task.n_examples
        summed = torch.zeros(self.graph.valid.shape, dtype=torch.float64)
        summed.index_add_(1, self.graph.column_of, total)
        if not bool(summed[self.graph.valid].isfinite().all()):
            raise ValueError("some scores are not finite: do the model's activations overflow?")
        return summed.float().masked_fill(~self.graph.valid, torch.nan)
