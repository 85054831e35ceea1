"""Path patching backwards from the logits: which heads write to them, which heads write to those heads, and so on.

The base run is the clean one. A head belongs to the circuit if its output on the corrupted prompt, patched along the
direct path to the heads found so far, changes the logit difference by a large enough share. Source: Wang et al. 2022,
section 3, where each step was chosen by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.model.model_name import model_name
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.circuits import Circuit, EdgeGraph
from mechscope.techniques.path_patching import NodeName, all_heads, parse_node, path_patching

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Stage:
    """One step of the search: which heads write to these inputs?"""

    receivers: tuple[str, ...]
    """Heads, or "logits"."""
    reads: str
    """Which of their inputs: q, k or v; empty for the logits."""
    effects: Result
    """Share of the effect that each head's direct path carries (layer, head)."""
    found: tuple[str, ...]
    """Heads, and perhaps "input", whose share is large enough; largest first."""

    @property
    def name(self) -> str:
        """The inputs, in words."""
        words = {"q": "queries", "k": "keys", "v": "values"}
        return f"{words[self.reads]} of {', '.join(self.receivers)}" if self.reads else "logits"


@dataclass(frozen=True)
class Trace:
    """Every stage, and the edges that they found."""

    stages: tuple[Stage, ...]
    edges: dict[str, float]
    """Edge → share of the effect that its path carries."""
    circuit: Circuit
    """The same edges as a circuit."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of the circuit, in forward order."""
        return tuple(node for node in self.circuit.nodes() if node.startswith("a"))

    def stage(self, reads: str) -> Stage | None:
        """The first stage about inputs of this kind."""
        return next((stage for stage in self.stages if stage.reads == reads), None)


def trace_back(
    model: HookedTransformer,
    task: Task,
    threshold: float,
    *,
    deepest: int = 6,
    memory: int | None = None,
    progress: bool = False,
) -> Trace:
    """Search backwards from the logits until no new head is found.

    Args:
        threshold: the smallest share of the effect, of either sign, that makes a head part of the circuit. An edge to
            one of several receivers needs half of it.
        deepest: the largest number of rounds.
        memory: bytes that a batch may take.
        progress: show a bar.

    Raises:
        ValueError: for a threshold that is not positive, or a task on which clean and corrupted runs score alike.
    """
    if not threshold > 0:
        raise ValueError(
            f"the threshold must be a share of the effect above 0, not {threshold!r}; 0.05 is usual."
        )
    search = _Search(model, task, threshold, memory, progress)
    stages = [search.run_stage(("logits",), "")]
    traced: set[str] = set()
    for _ in range(deepest):
        new = [node for node in search.heads_found() if node not in traced]
        if not new:
            break
        traced |= set(new)
        stages += [search.run_stage(tuple(new), reads) for reads in "qkv"]
    edges = dict(sorted(search.edges.items(), key=lambda item: -abs(item[1])))
    circuit = Circuit.from_edges(EdgeGraph.of(model), edges, "circuit found by path patching")
    circuit = circuit.replace(model=model).pruned()
    return Trace(tuple(stages), {edge: edges[edge] for edge in edges if edge in circuit}, circuit)


class _Search:
    def __init__(
        self, model: HookedTransformer, task: Task, threshold: float, memory: int | None, progress: bool
    ) -> None:
        self.model, self.task, self.threshold = model, task, threshold
        self.memory, self.progress = memory, progress
        self.edges: dict[str, float] = {}

    def heads_found(self) -> list[str]:
        """Heads that write to something in the circuit."""
        found = dict.fromkeys(edge.split("->")[0] for edge in self.edges)
        return [node for node in found if node != "input"]

    def run_stage(self, receivers: tuple[str, ...], reads: str) -> Stage:
        """Find the heads that write to these inputs, and add their edges."""
        inputs = [f"{node}<{reads}>" if reads else node for node in receivers]
        parallel = bool(self.model.cfg.parallel_attn_mlp)
        targets = [parse_node(self.model, name) for name in inputs]
        senders = [NodeName("input"), *all_heads(self.model)]
        senders = [each for each in senders if any(each.writes_before(to, parallel) for to in targets)]
        names = [str(sender) for sender in senders]
        shares = self._patch(names, inputs, "senders")
        table = np.zeros((self.model.cfg.n_layers, self.model.cfg.n_heads))
        for sender, share in zip(senders, shares, strict=True):
            if sender.kind == "head":
                table[sender.layer, sender.index or 0] = share
        order = np.argsort(-np.abs(shares))
        large = [index for index in order if abs(shares[index]) >= self.threshold]
        for index in large:
            self._add_edges(senders[index], targets, inputs, float(shares[index]), parallel)
        stage = f"{', '.join(receivers)}{f'<{reads}>' if reads else ''}"
        effects = make_result(
            torch.as_tensor(table),
            ("layer", "head"),
            f"What each head tells {stage} directly",
            "share of the effect",
            Provenance(model_name(self.model), self.task.name, self.task.seed),
        )
        return Stage(receivers, reads, effects, tuple(names[index] for index in large))

    def _add_edges(
        self,
        sender: NodeName,
        targets: Sequence[NodeName],
        inputs: Sequence[str],
        share: float,
        parallel: bool,
    ) -> None:
        reached = [
            name for name, to in zip(inputs, targets, strict=True) if sender.writes_before(to, parallel)
        ]
        if len(reached) == 1:
            self.edges[f"{sender}->{reached[0]}"] = share
            return
        for name, own in zip(reached, self._patch([str(sender)], reached, "receivers"), strict=True):
            if abs(own) >= self.threshold / 2:
                self.edges[f"{sender}->{name}"] = float(own)

    def _patch(self, senders: list[str], receivers: list[str], separately: str) -> np.ndarray:
        effects = path_patching(
            self.model,
            self.task,
            senders,
            receivers,
            separately,  # type: ignore[arg-type]
            through_mlps=not self.model.cfg.attn_only,
            direction="noise",
            memory=self.memory,
            progress=self.progress,
        )
        return effects.values.values
