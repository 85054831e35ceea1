"""From a task to a circuit in one call: score every edge, take the best, evaluate them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.model_name import model_name
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.circuits._edge_scores import Scores
from mechscope.techniques.circuits.acdc import AcdcRun, acdc
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.comparison import Comparison
from mechscope.techniques.circuits.eap import edge_attribution_patching
from mechscope.techniques.circuits.eap_ig import eap_ig_activations, eap_ig_inputs
from mechscope.techniques.circuits.evaluation import Evaluation, evaluate
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.pruning import Prune, by_threshold, greedy, top_edges, top_nodes

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

METHODS = {
    "eap": "EAP",
    "eap-ig": "EAP-IG over inputs",
    "eap-ig-activations": "EAP-IG over activations",
    "acdc": "ACDC",
}
"""Methods by their name in code, and in titles."""
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Sizes at which circuits are evaluated unless asked otherwise, as shares of all edges (Mueller et al. 2025)."""
DRAWN_EDGES = 50


@dataclass(frozen=True)
class Discovery:
    """Every edge's score, and the circuits that follow from them."""

    method: str
    """Its name in code, one of METHODS."""
    scores: Result
    """[source destination] in the metric's unit: positive where an edge carries the metric towards its clean value."""
    graph: EdgeGraph
    model: HookedTransformer = field(repr=False)
    task: Task
    """The prompts that the scores come from."""
    held_out: Task | None = None
    """Prompts kept back, which `evaluate` then uses."""
    found: Circuit | None = None
    """The circuit that the method itself decided on (ACDC)."""

    @property
    def score_matrix(self) -> Scores:
        """The scores as a tensor [source destination], NaN where there is no edge."""
        return torch.as_tensor(self.scores.values.values)

    def circuit(
        self,
        n_edges: int | None = None,
        *,
        threshold: float | None = None,
        n_nodes: int | None = None,
        prune: Prune = "greedy",
        absolute: bool = True,
    ) -> Circuit:
        """A circuit of some size, without edges that dangle; ACDC's own where no size is given.

        Args:
            n_edges: how many edges (one that dangles is taken off, so there may be fewer).
            threshold: instead, the least score.
            n_nodes: instead, how many heads and MLPs, with all edges between them.
            prune: for `n_edges`, "greedy" grows it from the logits back, "top" takes the highest scores anywhere.
            absolute: rank by the size of a score; otherwise edges that hurt the behaviour come last.

        Raises:
            ValueError: unless exactly one size is given, or for a size or a way of pruning that does not exist.
        """
        if prune not in ("top", "greedy"):
            raise ValueError(f"prune must be 'top' or 'greedy', not {prune!r}.")
        sizes = [size for size in (n_edges, threshold, n_nodes) if size is not None]
        if not sizes and self.found is not None:
            return self.found
        if len(sizes) != 1:
            raise ValueError("say how large the circuit is to be, by one of n_edges, threshold and n_nodes.")
        scores = self.score_matrix
        if n_edges is not None:
            take = greedy if prune == "greedy" else top_edges
            circuit = take(self.graph, scores, n_edges, absolute=absolute, model=self.model)
        elif n_nodes is not None:
            circuit = top_nodes(self.graph, scores, n_nodes, absolute=absolute, model=self.model)
        else:
            assert threshold is not None
            circuit = by_threshold(self.graph, scores, threshold, absolute=absolute, model=self.model)
        return circuit.replace(name=f"{METHODS[self.method]} circuit of {self.task.name}")

    def circuits(self, sizes: Iterable[int] | None = None, **options: Any) -> list[Circuit]:
        """Circuits of several sizes (see `circuit`), by default from a thousandth of all edges to all of them."""
        if sizes is None:
            sizes = sorted({math.ceil(share * self.graph.n_edges) for share in SHARES})
        return [self.circuit(size, **options) for size in sizes]

    def evaluate(
        self,
        task: Task | None = None,
        sizes: Sequence[int] | None = None,
        *,
        prune: Prune = "greedy",
        absolute: bool = True,
        **options: Any,
    ) -> Evaluation:
        """Faithfulness and completeness over sizes, beside both nulls (see `evaluation.evaluate`).

        Args:
            task: other prompts; by default those held out, and without them those that the scores come from.
            sizes: numbers of edges; by default from a thousandth of all edges to all of them, and for ACDC its circuit.
            prune: how circuits follow from scores.
            absolute: rank by the size of a score.
            options: those of `evaluate`.
        """
        note = (
            "other prompts"
            if task is not None and task is not self.task
            else "the prompts that it was found with"
        )
        if task is None and self.held_out is not None:
            task, note = self.held_out, "held-out prompts"
        if sizes is None and self.found is not None:
            circuits = [self.found]
        else:
            circuits = self.circuits(sizes, prune=prune, absolute=absolute)
        options = {"note": f"{METHODS[self.method]}, {note}", **options}
        return evaluate(self.model, self.task if task is None else task, circuits, **options)

    def compare(self, truth: Circuit | Iterable[str], circuit: Circuit | None = None) -> Comparison:
        """The scores' AUROC against the true edges, and the precision and recall of a circuit.

        Without one, of the method's own circuit, or of as many edges as are true.
        """
        if circuit is None:
            true = truth if isinstance(truth, Circuit) else Circuit.from_edges(self.graph, truth)
            truth = true
            circuit = self.found or self.circuit(true.n_edges)
        return circuit.replace(scores=self.score_matrix).compare(truth)

    def figure(self) -> Any:
        """The method's own circuit, or that of the 50 best edges, drawn as a graph."""
        circuit = self.found or self.circuit(min(DRAWN_EDGES, self.graph.n_edges))
        return circuit.figure()

    def show(self) -> Any:
        """Draw and display it; returns the figure."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def discover(
    model: HookedTransformer,
    task: Task,
    method: str = "eap-ig",
    *,
    qkv: bool = True,
    held_out: Task | float | None = None,
    steps: int = 5,
    tau: float | None = None,
    memory: int | None = None,
    progress: bool = True,
    **options: Any,
) -> Discovery:
    """Score every edge of a model on a task.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        method: "eap-ig", "eap", "eap-ig-activations" or "acdc".
        qkv: tell a head's queries, keys and values apart.
        held_out: prompts to evaluate on, or the share of the task's own that is kept back for that.
        steps: of the integrated gradients.
        tau: ACDC's threshold in the metric's unit; by default a hundredth of what separates clean and
            corrupted.
        memory: bytes that it may take; by default a quarter of what is free.
        progress: show a bar with the time left.
        options: ACDC's `rule` and `patch`.

    Raises:
        ValueError: for another method, an option that it does not have, or what the method itself refuses.

    >>> import mechscope.techniques.circuits as circuits
    >>> sorted(circuits.METHODS)
    ['acdc', 'eap', 'eap-ig', 'eap-ig-activations']
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; there are {', '.join(METHODS)}.")
    if options and method != "acdc":
        raise ValueError(f"{METHODS[method]} has no option {', '.join(options)}.")
    kept_back = held_out if isinstance(held_out, Task) else None
    if isinstance(held_out, float):
        task, kept_back = task.split(1 - held_out)
    graph = EdgeGraph.of(model, qkv)
    estimators: dict[str, Callable[..., Scores]] = {
        "eap": edge_attribution_patching,
        "eap-ig": eap_ig_inputs,
        "eap-ig-activations": eap_ig_activations,
    }
    run: AcdcRun | None = None
    if method == "acdc":
        if tau is None:
            tau = 0.01 * abs(task.baselines(model).check_difference())
        run = acdc(model, task, tau, graph, memory=memory, progress=progress, **options)
        scores = run.effects
    else:
        own = {} if method == "eap" else {"steps": steps}
        scores = estimators[method](model, task, graph, memory=memory, progress=progress, **own)
    made = Provenance(model_name(model), task.name, task.seed)
    result = make_result(
        scores,
        ("source", "destination"),
        f"{METHODS[method]} scores of edges, {task.name}",
        task.metric.unit,
        made,
        {"source": list(graph.sources), "destination": list(graph.destinations)},
        "heatmap",
    )
    found = None
    if run is not None:
        name = f"ACDC circuit of {task.name} at tau {tau:.3g}"
        found = Circuit(graph, run.kept, scores, name, model).pruned()
    return Discovery(method, result, graph, model, task, kept_back, found)
