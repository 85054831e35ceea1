"""Two published circuits that were found by hand, edge by edge, to compare methods with.

The edges are those that Conmy et al. (2023) used to score ACDC: per head, with separate queries, keys and values, and
all token positions together. They are not ground truth: parts that the authors did not study count as outside, and
if a figure names groups of parts, every edge between two such groups counts as inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.near_names import did_you_mean
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class PublishedCircuit:
    """The edges of a circuit, in the model that it was found in.

    >>> published_circuit("docstring").n_edges
    24
    """

    name: str
    """The name of its task."""
    model: str
    """The model that it was found in, as `load_model` knows it."""
    graph: EdgeGraph
    """The shape of that model."""
    edges: tuple[str, ...]
    """Names `src->dst`, each once, in forward order."""
    source: str
    """Who found it, and who listed these edges."""

    @property
    def n_edges(self) -> int:
        """How many edges it has."""
        return len(self.edges)

    def circuit(self, model: HookedTransformer | None = None) -> Circuit:
        """The circuit; with a model it belongs to that model, and `evaluate` runs it there.

        Raises:
            ValueError: for a model of another shape.
        """
        if model is not None and EdgeGraph.of(model) != self.graph:
            raise ValueError(
                f"the {self.name} circuit was found in {self.model}, {self.graph}; this model is "
                f"{EdgeGraph.of(model)}."
            )
        where = self.graph if model is None else model
        return Circuit.from_edges(where, self.edges, f"{self.name} circuit as published")


FIRST_HEADS = ("a0.h1", "a0.h3", "a0.h5")
EARLY_MLPS = ("m0", "m1", "m2", "m3")
MIDDLE_HEADS = ("a5.h5", "a6.h1", "a6.h9", "a7.h10", "a8.h11", "a9.h1")
LATE_MLPS = ("m8", "m9", "m10", "m11")
"""The parts of the greater-than circuit: the first heads and MLPs read the start year, the middle heads bring it to
the end, the late MLPs raise the later years."""


def _greater_than(graph: EdgeGraph) -> Iterator[str]:
    for part in (*FIRST_HEADS, *EARLY_MLPS):
        yield from _edges(graph, "input", part)
    for mlps in (EARLY_MLPS, LATE_MLPS):
        for one, other in itertools.combinations(mlps, 2):
            yield from _edges(graph, one, other)
    for mlp in EARLY_MLPS:
        yield from _edges(graph, "a0.h1", mlp)
    for writer, head in itertools.product((*FIRST_HEADS, *EARLY_MLPS), MIDDLE_HEADS):
        yield from _edges(graph, writer, head)
    # Hanna et al. do not restrict what reaches the middle heads' queries; MLPs and their edges are listed.
    before = [f"m{layer}" for layer in range(9)]
    for one, other in itertools.combinations(before, 2):
        yield from _edges(graph, one, other)
    for mlp, head in itertools.product(before, MIDDLE_HEADS):
        yield from _edges(graph, mlp, head, inputs="q")
    for head, mlp in itertools.product(MIDDLE_HEADS, LATE_MLPS):
        yield from _edges(graph, head, mlp)
    for part in (*MIDDLE_HEADS, *LATE_MLPS):
        yield from _edges(graph, part, "logits")


def _docstring(graph: EdgeGraph) -> Iterator[str]:
    yield from _edges(graph, "input", "a0.h5", inputs="v")
    for writer in ("input", "a0.h5"):
        yield from _edges(graph, writer, "a1.h4", inputs="v")
        yield from _edges(graph, writer, "a1.h2", inputs="qk")
        yield from _edges(graph, writer, "a2.h0", inputs="qk")
    yield from _edges(graph, "a1.h4", "a2.h0", inputs="v")
    for head in ("a3.h0", "a3.h6"):
        yield from _edges(graph, "a1.h4", head, inputs="q")
        for writer in ("a1.h2", "a2.h0"):
            yield from _edges(graph, writer, head, inputs="k")
        for writer in ("input", "a0.h5"):
            yield from _edges(graph, writer, head, inputs="v")
        yield from _edges(graph, head, "logits")


def _edges(graph: EdgeGraph, writer: str, reader: str, inputs: str = "qkv") -> Iterator[str]:
    """The edges from one part to another's inputs; none if the reader comes first."""
    readers = [f"{reader}<{name}>" for name in inputs] if ".h" in reader else [reader]
    for name in readers:
        if bool(graph.valid[graph.source_index[writer], graph.destination_index[name]]):
            yield f"{writer}->{name}"


def _in_order(graph: EdgeGraph, edges: Iterator[str]) -> tuple[str, ...]:
    return tuple(graph.edge_names(graph.mask(edges)))


_GPT2 = EdgeGraph(n_layers=12, n_heads=12, n_kv_heads=12)
_ATTN_ONLY_4L = EdgeGraph(n_layers=4, n_heads=8, n_kv_heads=8, attn_only=True)
_DRAWN = "edges as drawn by Conmy et al. 2023, Towards automated circuit discovery"

PUBLISHED: Mapping[str, PublishedCircuit] = {
    "greater-than": PublishedCircuit(
        name="greater-than",
        model="gpt2-small",
        graph=_GPT2,
        edges=_in_order(_GPT2, _greater_than(_GPT2)),
        source=f"Hanna, Liu and Variengien 2023, How does GPT-2 compute greater-than?; {_DRAWN}",
    ),
    "docstring": PublishedCircuit(
        name="docstring",
        model="attn-only-4l",
        graph=_ATTN_ONLY_4L,
        edges=_in_order(_ATTN_ONLY_4L, _docstring(_ATTN_ONLY_4L)),
        source="Heimersheim and Janiak 2023, A circuit for Python docstrings in a 4-layer attention-only "
        f"transformer; {_DRAWN}",
    ),
}
"""Published circuits by name."""


def published_circuit(name: str) -> PublishedCircuit:
    """Look up a published circuit by name.

    Raises:
        KeyError: for an unknown name; suggests the nearest one.
    """
    if name not in PUBLISHED:
        raise KeyError(
            f"no published circuit is called {name!r}.{did_you_mean(name, PUBLISHED)} There are "
            f"{', '.join(PUBLISHED)}."
        )
    return PUBLISHED[name]
