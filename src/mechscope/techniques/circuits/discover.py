"""From a task to a circuit in one call: score every edge, keep the best, and evaluate them."""

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
"""Name in code → name in titles."""
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Default sizes at which circuits are evaluated, as shares of all edges (Mueller et al. 2025)."""
DRAWN_EDGES = 50


@dataclass(frozen=True)
class Discovery:
    """Scores of all edges, and the circuits that follow from them."""

    method: str
    """The method's name in code, one of METHODS."""
    scores: Result
    """Scores [source destination] in the metric's unit, positive if an edge moves the metric to its clean value."""
    graph: EdgeGraph
    model: HookedTransformer = field(repr=False)
    task: Task
    """The prompts that the scores come from."""
    held_out: Task | None = None
    """Held-out prompts, which `evaluate` uses."""
    found: Circuit | None = None
    """The circuit that the method itself chose (ACDC)."""

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
        """A circuit of a given size, without dangling edges; without a size, ACDC's own circuit.

        Args:
            n_edges: how many edges (dangling ones are removed, so there may be fewer).
            threshold: instead, the smallest score to keep.
            n_nodes: instead, how many heads and MLPs, with all edges between them.
            prune: for `n_edges`, "greedy" grows the circuit from the logits back, "top" takes the highest scores.
            absolute: rank by magnitude; otherwise edges that hurt the behaviour come last.

        Raises:
            ValueError: unless exactly one size is given, or for an invalid size or pruning method.
        """
        if prune not in ("top", "greedy"):
            raise ValueError(f"prune must be 'top' or 'greedy', not {prune!r}.")
        sizes = [size for size in (n_edges, threshold, n_nodes) if size is not None]
        if not sizes and self.found is not None:
            return self.found
        if len(sizes) != 1:
            raise ValueError("give the size of the circuit by exactly one of n_edges, threshold and n_nodes.")
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
        """Faithfulness and completeness over sizes, compared with random circuits (see `evaluation.evaluate`).

        Args:
            task: other prompts; by default the held-out ones, or without these the ones that were scored.
            sizes: numbers of edges; by default from a thousandth of all edges to all of them, and for ACDC its circuit.
            prune: how to choose circuits from scores.
            absolute: rank by magnitude.
            options: options of `evaluate`.
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
        """AUROC of the scores against the true edges, and precision and recall of a circuit.

        By default the circuit is the method's own, or has as many edges as the truth.
        """
        if circuit is None:
            true = truth if isinstance(truth, Circuit) else Circuit.from_edges(self.graph, truth)
            truth = true
            circuit = self.found or self.circuit(true.n_edges)
        return circuit.replace(scores=self.score_matrix).compare(truth)

    def figure(self) -> Any:
        """The method's own circuit, or the one of the 50 best edges, drawn as a graph."""
        circuit = self.found or self.circuit(min(DRAWN_EDGES, self.graph.n_edges))
        return circuit.figure()

    def show(self) -> Any:
        """Display the figure and return it."""
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
        qkv: use separate inputs for a head's queries, keys and values.
        held_out: prompts to evaluate on, or the share of the task's prompts to hold out for that.
        steps: steps of integrated gradients.
        tau: ACDC's threshold in the metric's unit; by default a hundredth of the difference between clean and
            corrupted.
        memory: bytes that it may use; by default a quarter of the free memory.
        progress: show a progress bar.
        options: ACDC's `rule` and `patch`.

    Raises:
        ValueError: for an unknown method or option, or input that the method cannot use.

    >>> from mechscope import planted
    >>> program = planted.load("ioi")  # compiled, so the true circuit is known
    >>> found = discover(program.model, program.task(16), progress=False)
    >>> set(found.circuit(n_edges=8).edges()) == program.true_edges
    True
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; choose from {', '.join(METHODS)}.")
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
