"""ACDC: from the logits back, remove every edge whose removal hardly changes the metric.

An edge is patched with the corrupted run while everything removed so far stays patched; it stays removed if the metric
changes by less than `tau`. The result is that of the sequential search, but tests share work: everything before the
edge's destination is still the whole model and is not run again, and several tests run in one batch, guessing the
outcome of earlier ones; tests after a wrong guess are discarded.
Source: Conmy et al. 2023, "Towards automated circuit discovery", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from tqdm import tqdm

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.tasks.task import Task
from mechscope.techniques.circuits._live_edges import reaches_logits
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun, Patch

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Rule = Literal["change", "worsening"]


@dataclass(frozen=True)
class AcdcRun:
    """The result of the search."""

    kept: Bool[torch.Tensor, "source destination"]
    """The edges that remain."""
    effects: Float[torch.Tensor, "source destination"]
    """The change of the metric when each edge was tested, positive if it moved away from the clean value; 0 for edges
    into parts without a path to the logits, NaN where there is no edge."""
    n_tests: int
    """How many circuits the sequential search would have run."""

    __repr__ = brief_repr


@checked_arguments
def acdc(
    model: HookedTransformer,
    task: Task,
    tau: float,
    graph: EdgeGraph | None = None,
    *,
    rule: Rule = "change",
    patch: Patch = "corrupted",
    memory: int | None = None,
    progress: bool = True,
) -> AcdcRun:
    """Search for the circuit of a task.

    Destinations are visited from last to first, and their edges from the latest source to the earliest. At tau 0
    nothing is removed; edges into parts without a path to the logits are removed without a test.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric; the paper uses "kl_divergence".
        tau: the least change of the mean metric that keeps an edge, in the metric's unit.
        graph: the edge graph; by default with separate q, k and v inputs.
        rule: "change" keeps an edge whose removal moves the metric either way; "worsening", as in the paper, only if
            it moves away from the clean value.
        patch: what flows along removed edges (see `MaskedRun`).
        memory: bytes that it may use; by default a quarter of the free memory.
        progress: show a progress bar.

    Raises:
        ValueError: for a negative or NaN tau, another rule, or a task that does not fit the model.
    """
    if not 0 <= tau < float("inf"):
        raise ValueError(f"tau is a change of the metric, finite and at least 0, not {tau}.")
    if rule not in ("change", "worsening"):
        raise ValueError(f"rule must be 'change' or 'worsening', not {rule!r}.")
    run = MaskedRun(model, task, graph, patch=patch, memory=memory)
    direction = 1.0 if run.baselines.difference >= 0 else -1.0
    search = _Search(run, tau, rule, direction)
    with tqdm(total=run.graph.n_edges, desc=f"ACDC, tau {tau:g}", disable=not progress) as bar:
        for decided in search.steps():
            bar.update(decided)
    return AcdcRun(search.kept, search.effects, search.n_tests)


class _Search:
    def __init__(self, run: MaskedRun, tau: float, rule: Rule, direction: float) -> None:
        self.run, self.tau, self.rule, self.direction = run, tau, rule, direction
        self.graph = run.graph
        self.kept = self.graph.valid.clone()
        self.effects = torch.zeros(self.kept.shape).masked_fill(~self.graph.valid, torch.nan)
        self.n_tests = 0
        self.metric = float(run.measure(self.kept[None]).mean())
        self.coupled = any(block.heads_interact for block in run.model.blocks)
        self.guess, self.window = False, 1
        """Whether the next tests are expected to remove their edge, and how many to run at once."""

    def steps(self) -> Iterator[int]:
        """Decide all edges; yields how many each batch decided."""
        for column in reversed(range(len(self.graph.destinations))):
            rows = self.graph.valid[:, column].nonzero().flatten().flip(0).tolist()
            if self.tau > 0 and not self._reaches_logits(column):
                self.kept[rows, column] = False
                yield len(rows)
                continue
            while rows:
                decided = self._decide(rows[: self.window], column)
                rows = rows[decided:]
                yield decided

    def _reaches_logits(self, column: int) -> bool:
        if self.coupled or column == len(self.graph.destinations) - 1:
            return True
        return bool((reaches_logits(self.graph, self.kept) & self.graph.feeds[column]).any())

    def _decide(self, rows: list[int], column: int) -> int:
        """Test some edges in one batch, guessing that all but the last end alike; returns how many are decided."""
        circuits: list[torch.Tensor] = []
        present = self.kept
        for row in rows:
            tested = present.clone()
            tested[row, column] = False
            circuits.append(tested)
            present = tested if self.guess else present
        values = self.run.measure(torch.stack(circuits)).double().mean(1).tolist()
        for count, (row, circuit, value) in enumerate(zip(rows, circuits, values, strict=True), start=1):
            self.n_tests += 1
            lost = (self.metric - value) * self.direction
            self.effects[row, column] = lost
            removed = (abs(lost) if self.rule == "change" else lost) < self.tau and self.tau > 0
            if removed:
                self.kept, self.metric = circuit, value
            if removed != self.guess:
                self.guess, self.window = removed, 1
                return count
        self.window *= 2
        return len(rows)
