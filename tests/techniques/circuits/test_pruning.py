"""From scores to circuits, against slow definitions."""

from __future__ import annotations

import pytest
import torch

from mechscope.techniques.circuits._live_edges import live_edges
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.null_circuits import layer_matched_circuit, random_circuit
from mechscope.techniques.circuits.pruning import by_threshold, greedy, top_edges, top_nodes

GRAPHS = [
    EdgeGraph(3, 3, 3),
    EdgeGraph(2, 4, 2),
    EdgeGraph(3, 2, 2, True),
    EdgeGraph(2, 3, 3, parallel=True, qkv=False),
]


def some_scores(graph: EdgeGraph, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(graph.valid.shape, generator=generator).masked_fill(~graph.valid, torch.nan)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("absolute", [True, False])
def test_greedy_takes_the_best_edge_into_what_is_in(graph: EdgeGraph, absolute: bool) -> None:
    scores = some_scores(graph, 1)
    ranks = scores.abs() if absolute else scores
    kept = torch.zeros_like(graph.valid)
    for count in range(1, 31):
        inside = kept.any(1)
        columns = (graph.feeds & inside).any(1)
        columns[-1] = True
        best = ranks.masked_fill(~(graph.valid & ~kept & columns), -torch.inf).argmax()
        kept.view(-1)[best] = True
        ours = greedy(graph, scores, count, absolute=absolute)
        assert torch.equal(ours.kept, live_edges(graph, kept))
    assert greedy(graph, scores, graph.n_edges).n_edges == graph.n_edges


@pytest.mark.parametrize("graph", GRAPHS)
def test_top_and_threshold(graph: EdgeGraph) -> None:
    scores = some_scores(graph, 2)
    cut = scores.abs()[graph.valid].sort(descending=True).values[19]
    expected = live_edges(graph, graph.valid & (scores.abs() >= cut))
    assert torch.equal(top_edges(graph, scores, 20).kept, expected)
    assert torch.equal(by_threshold(graph, scores, float(cut)).kept, expected)
    assert torch.equal(
        by_threshold(graph, scores, 0.5, absolute=False).kept,
        live_edges(graph, graph.valid & (scores >= 0.5)),
    )
    nodes = set(top_nodes(graph, scores, 3).nodes()) - {"input", "logits"}
    best = scores.abs().nan_to_num(0).amax(1)[1:].argsort(descending=True)[:3]
    assert nodes == {graph.sources[1 + int(row)] for row in best}


def test_bad_scores_and_sizes() -> None:
    graph = GRAPHS[0]
    scores = some_scores(graph, 3)
    scores[0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 edges have no score"):
        greedy(graph, scores, 3)
    with pytest.raises(ValueError, match="edges, not"):
        top_edges(graph, some_scores(graph, 3), graph.n_edges + 1)
    with pytest.raises(ValueError, match="scores must have shape"):
        by_threshold(graph, scores[:2], 0.1)


@pytest.mark.parametrize("graph", [*GRAPHS, EdgeGraph(6, 6, 6)])
def test_random_circuits_have_the_size_and_do_not_dangle(graph: EdgeGraph) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    sizes = [0, 1, 2, 3, 7, 20, graph.n_edges // 2, graph.n_edges - 1, graph.n_edges]
    for size in sizes:
        circuit = random_circuit(graph, size, generator)
        assert circuit.n_edges in (size, size - 1), size
        assert circuit.pruned() == circuit
        seen |= set(random_circuit(graph, 7, generator).edges())
    assert len(seen) > 15
    exact = [random_circuit(graph, 12, generator).n_edges == 12 for _ in range(10)]
    assert sum(exact) >= 9


@pytest.mark.parametrize("graph", GRAPHS)
def test_layer_matched_circuits_exchange_heads_within_layers(graph: EdgeGraph) -> None:
    generator = torch.Generator().manual_seed(1)
    circuit = greedy(graph, some_scores(graph, 4), 12)

    def kinds(edges: list[str]) -> list[str]:
        words = []
        for edge in edges:
            ends = edge.split("->")
            words.append("->".join(end.split(".h")[0] + end[end.find("<") :] * ("<" in end) for end in ends))
        return sorted(words)

    others = [layer_matched_circuit(circuit, generator) for _ in range(12)]
    assert any(other != circuit for other in others)
    for other in others:
        assert kinds(other.edges()) == kinds(circuit.edges())
        assert other.pruned() == other
