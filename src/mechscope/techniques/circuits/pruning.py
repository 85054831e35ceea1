"""Choose a circuit from scores: by threshold, by the highest edges or nodes, or greedily from the logits back."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float

from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Scores = Float[torch.Tensor, "source destination"]
Prune = Literal["top", "greedy"]


def by_threshold(
    graph: EdgeGraph,
    scores: Scores,
    threshold: float,
    *,
    absolute: bool = True,
    model: HookedTransformer | None = None,
) -> Circuit:
    """Edges that score at least `threshold`, without dangling ones.

    Args:
        absolute: rank by magnitude; otherwise edges that hurt the behaviour come last.
    """
    kept = (_ranks(graph, scores, absolute) >= threshold) & graph.valid
    return _circuit(graph, kept, scores, model)


def top_edges(
    graph: EdgeGraph,
    scores: Scores,
    n_edges: int,
    *,
    absolute: bool = True,
    model: HookedTransformer | None = None,
) -> Circuit:
    """The `n_edges` edges with the highest scores, without dangling ones (so there may be fewer).

    Raises:
        ValueError: for more edges than the graph has.
    """
    _check_count(n_edges, graph.n_edges, "edges")
    kept = torch.zeros_like(graph.valid)
    order = _order(_ranks(graph, scores, absolute))[:n_edges]
    kept.view(-1)[order] = True
    return _circuit(graph, kept, scores, model)


def top_nodes(
    graph: EdgeGraph,
    scores: Scores,
    n_nodes: int,
    *,
    absolute: bool = True,
    model: HookedTransformer | None = None,
) -> Circuit:
    """All edges between the `n_nodes` best heads and MLPs; a node has the score of its best outgoing edge.

    Raises:
        ValueError: for more nodes than the graph has.
    """
    _check_count(n_nodes, len(graph.sources) - 1, "nodes")
    best = _ranks(graph, scores, absolute).amax(1)[1:]
    chosen = [graph.sources[1 + int(row)] for row in _order(best)[:n_nodes]]
    return _circuit(graph, Circuit.from_nodes(graph, chosen).kept, scores, model)


def greedy(
    graph: EdgeGraph,
    scores: Scores,
    n_edges: int,
    *,
    absolute: bool = True,
    model: HookedTransformer | None = None,
) -> Circuit:
    """Grow a circuit from the logits back, adding the best edge into the circuit until there are `n_edges`.

    So every edge reaches the logits; edges without a path from the input are removed at the end.
    Source: Hanna et al. 2024, section 3.

    Raises:
        ValueError: for more edges than the graph has.
    """
    _check_count(n_edges, graph.n_edges, "edges")
    ranks = _ranks(graph, scores, absolute)
    columns_of = [graph.feeds[:, row].nonzero().flatten().tolist() for row in range(len(graph.sources))]
    open_columns: set[int] = set()
    frontier: list[tuple[float, int, int]] = []

    def open_column(column: int) -> None:
        if column in open_columns:
            return
        open_columns.add(column)
        for row in graph.valid[:, column].nonzero().flatten().tolist():
            heapq.heappush(frontier, (-float(ranks[row, column]), row, column))

    open_column(len(graph.destinations) - 1)
    kept = torch.zeros_like(graph.valid)
    for _ in range(n_edges):
        _, row, column = heapq.heappop(frontier)
        kept[row, column] = True
        for following in columns_of[row]:
            open_column(following)
    return _circuit(graph, kept, scores, model)


def check_scores(graph: EdgeGraph, scores: Scores) -> None:
    """Check that scores fit a graph.

    Raises:
        ValueError: for another shape, or an edge whose score is NaN.
    """
    if scores.shape != graph.valid.shape:
        raise ValueError(
            f"scores must have shape [{len(graph.sources)} sources, {len(graph.destinations)} destinations], not "
            f"{list(scores.shape)}."
        )
    missing = scores.isnan() & graph.valid
    if bool(missing.any()):
        raise ValueError(
            f"{int(missing.sum())} edges have no score, such as {graph.edge_names(missing)[0]}: does the model "
            "give NaN?"
        )


def _ranks(graph: EdgeGraph, scores: Scores, absolute: bool) -> torch.Tensor:
    check_scores(graph, scores)
    ranks = (scores.abs() if absolute else scores).double()
    return ranks.masked_fill(~graph.valid, -torch.inf)


def _order(ranks: torch.Tensor) -> torch.Tensor:
    """Flat indices from the highest rank down; ties in forward order."""
    return ranks.flatten().argsort(descending=True, stable=True)


def _circuit(
    graph: EdgeGraph, kept: torch.Tensor, scores: Scores, model: HookedTransformer | None
) -> Circuit:
    return Circuit(graph, kept, scores, model=model).pruned()


def _check_count(count: int, most: int, what: str) -> None:
    if not 0 <= count <= most:
        raise ValueError(f"a circuit of this graph has 0 to {most} {what}, not {count}.")
