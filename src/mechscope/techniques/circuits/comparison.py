"""Compare a circuit with the true one: precision and recall of its edges and nodes, and AUROC of the scores."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.techniques.circuits.circuit import Circuit


@dataclass(frozen=True)
class Agreement:
    """Agreement of edges or of nodes; NaN if it is undefined."""

    precision: float
    """Share of the circuit that is true."""
    recall: float
    """Share of the truth that is in the circuit."""
    auroc: float
    """Chance that a true one scores above a false one, ties count half; without scores members beat others."""


@dataclass(frozen=True)
class Comparison:
    """Agreement between a circuit and the truth."""

    edges: Agreement
    nodes: Agreement
    """Without `input` and `logits`, which are in every circuit."""


def compare(circuit: Circuit, truth: Circuit | Iterable[str]) -> Comparison:
    """Compare a circuit with the true edges.

    Edges are ranked by the size of their scores, nodes by the largest score of an edge that they write to.

    Args:
        circuit: with scores or without.
        truth: the true circuit, or its edges by name.

    Raises:
        KeyError: for an edge that the circuit's graph does not have.
        ValueError: if the truth is empty or belongs to another graph.
    """
    graph = circuit.graph
    if isinstance(truth, Iterable):
        true = graph.mask(truth)
    else:
        if truth.graph != graph:
            raise ValueError(f"the truth belongs to {truth.graph}, the circuit to {graph}.")
        true = truth.kept
    if not bool(true.any()):
        raise ValueError("the true circuit has no edges, so there is nothing to compare with.")
    ranks = circuit.kept.float() if circuit.scores is None else circuit.scores.abs().nan_to_num(0.0)
    ranks = ranks.masked_fill(~graph.valid, -1.0)
    edges = _agree(circuit.kept[graph.valid], true[graph.valid], ranks[graph.valid])
    nodes = _agree(_nodes(graph, circuit.kept), _nodes(graph, true), ranks.amax(1)[1:])
    return Comparison(edges, nodes)


def _nodes(graph: EdgeGraph, edges: torch.Tensor) -> torch.Tensor:
    """Heads and MLPs that an edge starts from, or ends at without sharing the input."""
    ends = (graph.feeds & edges.any(0)[:, None] & (graph.feeds.sum(1) == 1)[:, None]).any(0)
    return (edges.any(1) | ends)[1:]


def _agree(found: torch.Tensor, true: torch.Tensor, ranks: torch.Tensor) -> Agreement:
    both = int((found & true).sum())
    precision = both / int(found.sum()) if bool(found.any()) else math.nan
    recall = both / int(true.sum()) if bool(true.any()) else math.nan
    return Agreement(precision, recall, auroc(ranks, true))


def auroc(ranks: torch.Tensor, true: torch.Tensor) -> float:
    """Area under the ROC curve, counting ties as half; NaN if all or none are true.

    >>> auroc(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True]))
    0.5
    """
    if bool(true.all()) or not bool(true.any()):
        return math.nan
    # Imported here: scikit-learn takes a second to load, and circuits are used without it.
    from sklearn.metrics import roc_auc_score

    # Scores may be infinite, which scikit-learn refuses; only their order counts.
    order = ranks.unique(return_inverse=True)[1]
    return float(roc_auc_score(true.cpu(), order.cpu()))
