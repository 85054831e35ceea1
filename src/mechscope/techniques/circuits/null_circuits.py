"""Random circuits to compare a found circuit with.

There are two nulls. *Random*: equally many edges, connected, without dangling edges, drawn at random. *Layer-matched*:
the same circuit with its heads permuted within their layers, which keeps size, depth and connections. For IOI in GPT-2
small one random set of heads in eight passes as a circuit, so faithfulness alone says little.
"""

from __future__ import annotations

import torch

from mechscope.techniques.circuits._live_edges import live_edges
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.graph import EdgeGraph

_FEW = 200
"""Random circuits up to this size are grown path by path; in larger ones random edges mostly connect anyway."""


def random_circuit(graph: EdgeGraph, n_edges: int, generator: torch.Generator) -> Circuit:
    """A random connected circuit of `n_edges` edges without dangling edges (one fewer if no last edge fits).

    It grows from the logits back: first a random edge into a part of the circuit, then random edges back from its
    source until they meet the circuit or the input. If too few edges are left for a path, the input is used directly.

    Raises:
        ValueError: for more edges than the graph has, or a negative number.
    """
    if not 0 <= n_edges <= graph.n_edges:
        raise ValueError(f"a circuit of this graph has 0 to {graph.n_edges} edges, not {n_edges}.")
    growing = _Growing(graph, generator)
    while growing.count < min(n_edges, _FEW):
        growing.add_path(n_edges - growing.count)
    if growing.count < n_edges:
        growing.kept = _thicken(graph, growing.kept, n_edges, generator)
    return Circuit(graph, growing.kept, name="random circuit")


def layer_matched_circuit(circuit: Circuit, generator: torch.Generator) -> Circuit:
    """The circuit with the heads of each layer permuted at random; other nodes stay.

    Under grouped-query attention whole groups are permuted, and the heads within them. If a layer has one head, or
    all its heads have the same edges, nothing changes (see `has_layer_matched`).
    """
    graph = circuit.graph
    rows, columns = torch.arange(len(graph.sources)), torch.arange(len(graph.destinations))
    group = graph.n_heads // graph.n_kv_heads
    for layer in range(graph.n_layers):
        groups = torch.randperm(graph.n_kv_heads, generator=generator)
        members = torch.stack([torch.randperm(group, generator=generator) for _ in range(graph.n_kv_heads)])
        heads = (groups[:, None] * group + members).flatten().tolist()
        for head, other in enumerate(heads):
            rows[graph.source_index[f"a{layer}.h{head}"]] = graph.source_index[f"a{layer}.h{other}"]
        for suffix, exchanged in _inputs(graph, heads, groups.tolist()):
            for head, other in enumerate(exchanged):
                columns[graph.destination_index[f"a{layer}.h{head}{suffix}"]] = graph.destination_index[
                    f"a{layer}.h{other}{suffix}"
                ]
    return Circuit(graph, circuit.kept[rows][:, columns], name=f"layer-matched {circuit.name}")


def has_layer_matched(circuit: Circuit) -> bool:
    """Whether there can be another circuit with equally many edges in each layer, which needs more than one head."""
    whole_or_none = circuit.n_edges in (0, circuit.graph.n_edges)
    return circuit.graph.n_heads > 1 or whole_or_none


def _inputs(graph: EdgeGraph, heads: list[int], groups: list[int]) -> list[tuple[str, list[int]]]:
    """The permutation for each kind of input of a head."""
    if not graph.qkv:
        return [("", heads)]
    return [("<q>", heads), ("<k>", groups), ("<v>", groups)]


class _Growing:
    def __init__(self, graph: EdgeGraph, generator: torch.Generator) -> None:
        self.graph, self.generator = graph, generator
        self.kept = torch.zeros_like(graph.valid)
        self.count = 0
        self.live = torch.zeros(len(graph.sources), dtype=torch.bool)
        self.live[0] = True
        self.heard = torch.zeros(len(graph.destinations), dtype=torch.bool)
        self.heard[-1] = True

    def add_path(self, left: int) -> None:
        """Add an edge into the circuit and a path from the input to it, with at most `left` edges in total."""
        free = self.graph.valid & ~self.kept & self.heard
        if left == 1:
            free &= self.live[:, None]
        if not bool(free.any()):  # one edge is left, but all edges between nodes of the circuit are taken
            self.count += 1
            return
        row, column = self._draw(free)
        self._add(row, column)
        left -= 1
        while not bool(self.live[row]):
            inputs = self.graph.feeds[:, row]
            before = self.graph.valid & inputs
            if left <= 1:
                before &= (torch.arange(len(self.live)) == 0)[:, None]
            self._bring_in(row)
            row, column = self._draw(before)
            self._add(row, column)
            left -= 1

    def _draw(self, free: torch.Tensor) -> tuple[int, int]:
        places = free.nonzero()
        chosen = places[int(torch.randint(len(places), (1,), generator=self.generator))]
        return int(chosen[0]), int(chosen[1])

    def _add(self, row: int, column: int) -> None:
        self.count += not bool(self.kept[row, column])
        self.kept[row, column] = True

    def _bring_in(self, row: int) -> None:
        self.live[row] = True
        self.heard |= self.graph.feeds[:, row]


def _thicken(graph: EdgeGraph, kept: torch.Tensor, n_edges: int, generator: torch.Generator) -> torch.Tensor:
    """Add random edges to a connected circuit until it has `n_edges` edges that do not dangle."""
    others = (graph.valid & ~kept).flatten().nonzero().flatten()
    others = others[torch.randperm(len(others), generator=generator)]

    def with_first(count: int) -> torch.Tensor:
        edges = kept.clone()
        edges.view(-1)[others[:count]] = True
        return live_edges(graph, edges)

    low, high = 0, len(others)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(with_first(middle).sum()) <= n_edges else (low, middle - 1)
    edges = with_first(low)
    # The next edge would connect several others, so fill up with edges between nodes of the circuit.
    rows = edges.any(1)
    rows[0] = True
    columns = (graph.feeds & rows).any(1)
    columns[-1] = True
    between = (graph.valid & ~edges & rows[:, None] & columns).flatten().nonzero().flatten()
    between = between[torch.randperm(len(between), generator=generator)]
    edges.view(-1)[between[: n_edges - int(edges.sum())]] = True
    return edges
