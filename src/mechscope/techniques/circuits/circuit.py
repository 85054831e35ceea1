"""A circuit: some edges of a model's edge graph, by their published names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float

from mechscope.arguments import checked_arguments
from mechscope.techniques.circuits._circuit_files import StoredCircuit, read_circuit_file, write_circuit_file
from mechscope.techniques.circuits._live_edges import live_edges
from mechscope.techniques.circuits.comparison import Comparison, compare
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task
    from mechscope.techniques.circuits.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class Circuit:
    """Edges of a graph, with their scores if they have any.

    >>> graph = EdgeGraph(n_layers=1, n_heads=2, n_kv_heads=2, attn_only=True)
    >>> circuit = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits"])
    >>> circuit.n_edges, circuit.nodes()
    (2, ['input', 'a0.h1', 'logits'])

    Raises:
        ValueError: for an edge that the graph does not have, or scores of another shape.
    """

    graph: EdgeGraph
    kept: Bool[torch.Tensor, "source destination"]
    """True for edges in the circuit."""
    scores: Float[torch.Tensor, "source destination"] | None = None
    """A method's score of each edge of the graph, inside or outside the circuit; NaN without a score."""
    name: str = "circuit"
    """For titles."""
    model: HookedTransformer | None = field(default=None, repr=False)
    """The model it belongs to, for `evaluate`; not saved."""

    def __post_init__(self) -> None:
        shape = tuple(self.graph.valid.shape)
        if self.kept.dtype != torch.bool or tuple(self.kept.shape) != shape:
            raise ValueError(
                f"a circuit is a boolean matrix {list(shape)} of its graph's sources and destinations, not "
                f"{self.kept.dtype} {list(self.kept.shape)}."
            )
        if self.scores is not None and tuple(self.scores.shape) != shape:
            raise ValueError(f"scores have shape {list(self.scores.shape)}; the graph has {list(shape)}.")
        outside = self.kept.cpu() & ~self.graph.valid
        if bool(outside.any()):
            raise ValueError(f"{self.graph.edge_names(outside)[0]} is not an edge of {self.graph}.")

    # Making ---------------------------------------------------------------------------------

    @classmethod
    def from_edges(
        cls, where: EdgeGraph | HookedTransformer, edges: Iterable[str], name: str = "circuit"
    ) -> Circuit:
        """Make a circuit from edges.

        Args:
            where: the graph, or the model to which the circuit belongs.
            edges: names `src->dst`.

        Raises:
            KeyError: for an unknown edge; suggests the nearest names.
        """
        graph, model = _graph_and_model(where)
        return cls(graph, graph.mask(edges), name=name, model=model)

    @classmethod
    def from_nodes(
        cls, where: EdgeGraph | HookedTransformer, nodes: Iterable[str], name: str = "circuit"
    ) -> Circuit:
        """Make a circuit from all edges between some nodes; `input` and `logits` are always included.

        Raises:
            KeyError: for an unknown node; suggests the nearest names.
        """
        graph, model = _graph_and_model(where)
        chosen = {graph.node(node) for node in nodes} | {"input"}
        rows = torch.tensor([source in chosen for source in graph.sources])
        columns = (graph.feeds & rows).any(1)
        columns[-1] = True
        return cls(graph, graph.valid & rows[:, None] & columns, name=name, model=model)

    @classmethod
    def full(cls, where: EdgeGraph | HookedTransformer) -> Circuit:
        """The whole model."""
        graph, model = _graph_and_model(where)
        return cls(graph, graph.valid.clone(), name="whole model", model=model)

    @classmethod
    def load(cls, path: str | Path, model: HookedTransformer | None = None) -> Circuit:
        """Read a circuit from a file (see `load_circuit`)."""
        return load_circuit(path, model)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON (see `save_circuit`)."""
        return save_circuit(self, path)

    def replace(self, **changes: Any) -> Circuit:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    # Reading --------------------------------------------------------------------------------

    @cached_property
    def n_edges(self) -> int:
        """Number of edges in the circuit."""
        return int(self.kept.sum())

    def edges(self) -> list[str]:
        """Names of the edges, in forward order."""
        return self.graph.edge_names(self.kept)

    def nodes(self) -> list[str]:
        """Names of the nodes at the ends of edges, in forward order."""
        rows = self.kept.any(1)
        columns = self.kept.any(0)
        # An edge into the keys or values of a group of heads does not make any single head a node.
        alone = self.graph.feeds.sum(1) == 1
        rows |= (self.graph.feeds & (columns & alone)[:, None]).any(0)
        names = [name for name, there in zip(self.graph.sources, rows.tolist(), strict=True) if there]
        return [*names, "logits"] if bool(columns[-1]) else names

    def __contains__(self, edge: str) -> bool:
        return bool(self.kept[self.graph.edge(edge)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Circuit):
            return NotImplemented
        return self.graph == other.graph and bool((self.kept == other.kept).all())

    __hash__ = None  # type: ignore[assignment]

    # Changing -------------------------------------------------------------------------------

    def pruned(self) -> Circuit:
        """The circuit without dangling edges, which are on no path from the input to the logits."""
        return self.replace(kept=live_edges(self.graph, self.kept))

    def complement(self) -> Circuit:
        """The circuit of all other edges."""
        return self.replace(kept=self.graph.valid & ~self.kept, name=f"all but {self.name}")

    def without(self, *nodes: str) -> Circuit:
        """The circuit without the edges that start or end at some nodes.

        Raises:
            KeyError: for an unknown node; suggests the nearest names.
        """
        kept = self.kept.clone()
        for node in nodes:
            kept &= ~self.graph.edges_of(node)
        return self.replace(kept=kept, name=f"{self.name} without {', '.join(nodes)}")

    def __or__(self, other: Circuit) -> Circuit:
        return self._join(other, self.kept | self._same(other), "or")

    def __and__(self, other: Circuit) -> Circuit:
        return self._join(other, self.kept & self._same(other), "and")

    def __sub__(self, other: Circuit) -> Circuit:
        return self._join(other, self.kept & ~self._same(other), "without")

    def _same(self, other: Circuit) -> torch.Tensor:
        if self.graph != other.graph:
            raise ValueError(f"{self.name} belongs to {self.graph} and {other.name} to {other.graph}.")
        return other.kept

    def _join(self, other: Circuit, kept: torch.Tensor, word: str) -> Circuit:
        return self.replace(kept=kept, name=f"{self.name} {word} {other.name}")

    # Judging --------------------------------------------------------------------------------

    def compare(self, truth: Circuit | Iterable[str]) -> Comparison:
        """Precision, recall and AUROC against the true edges (see `comparison.compare`)."""
        return compare(self, truth)

    def evaluate(self, task: Task, model: HookedTransformer | None = None, **options: Any) -> Evaluation:
        """Faithfulness and completeness, compared with random circuits (see `evaluation.evaluate`).

        Raises:
            ValueError: if neither the circuit nor the call has a model.
        """
        from mechscope.techniques.circuits.evaluation import evaluate

        model = self.model if model is None else model
        if model is None:
            raise ValueError(f"{self.name} has no model in memory: call evaluate(task, model=…).")
        return evaluate(model, task, [self], **options)

    def figure(self) -> Any:
        """The circuit drawn as a graph."""
        from mechscope.viz.circuit_graph import circuit_graph

        scores = None
        if self.scores is not None:
            scores = [float(self.scores[self.graph.edge(edge)]) for edge in self.edges()]
        return circuit_graph(
            self.edges(),
            scores,
            title=f"{self.name[:1].upper()}{self.name[1:]}: {self.n_edges} edges",
            n_heads=self.graph.n_heads,
            n_kv_heads=self.graph.n_kv_heads,
        )

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure

    def __repr__(self) -> str:
        return f"<{self.name}: {self.n_edges} of {self.graph.n_edges} edges, {len(self.nodes())} nodes>"


def _graph_and_model(where: EdgeGraph | HookedTransformer) -> tuple[EdgeGraph, HookedTransformer | None]:
    return (where, None) if isinstance(where, EdgeGraph) else (EdgeGraph.of(where), where)


def save_circuit(circuit: Circuit, path: str | Path) -> Path:
    """Write a circuit as JSON: the edges in it, and every edge that has a score; returns the path."""
    stored = StoredCircuit(circuit.graph, circuit.kept, circuit.scores, circuit.name)
    return write_circuit_file(path, stored, circuit.nodes())


@checked_arguments
def load_circuit(path: str | Path, model: HookedTransformer | None = None) -> Circuit:
    """Read a circuit that `save_circuit` wrote, or any JSON object with "edges".

    Args:
        path: the file.
        model: the model that the circuit belongs to; checked against the file, and needed if the file does not
            give the shape of its model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a circuit, or belongs to a model of another shape.
        KeyError: for an edge that the model does not have.
    """
    stored = read_circuit_file(path, model)
    return Circuit(stored.graph, stored.kept, stored.scores, stored.name, model)
