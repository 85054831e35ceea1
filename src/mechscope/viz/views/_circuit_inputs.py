"""What a circuit view accepts: names of edges, or anything of mechscope that has edges, told apart by what it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mechscope.arguments import shown
from mechscope.results.arrays import as_array

ACCEPTED = (
    "a list of names such as 'a0.h1->a1.h3<k>', a dictionary from names to scores, or what `discover`, "
    "`published_circuit` or `planted.load` return"
)
FIRST_SHOWN = 50
"""How many edges of a discovery are shown at first."""


@dataclass(frozen=True)
class Edges:
    """The edges of a circuit, or of a whole model with a score for each."""

    names: list[str]
    scores: list[float | None] | None = None
    """One per edge, None where a method gives none."""
    title: str = ""
    unit: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Node → what it does."""
    nodes: Sequence[str] = ()
    """Nodes that are drawn even if no edge reaches them."""
    graph: Any = None
    """The edge graph of the model, if it is known."""
    is_whole: bool = False
    """Whether these are all edges of a model, so that the reader has to choose among them."""


def edges_of(source: Any, scores: Any = None) -> Edges:
    """The edges of a circuit, with what is known about them.

    Raises:
        TypeError: for anything else.
        ValueError: if there are no edges, one comes twice, or scores do not fit.
    """
    found = _edges_of_object(source)
    if found is None:
        if isinstance(source, str) or not isinstance(source, Iterable):
            raise TypeError(f"a circuit is {ACCEPTED}, not {shown(source)}.")
        names = list(source)
        if wrong := next((name for name in names if not isinstance(name, str)), None):
            raise TypeError(f"the edges of a circuit are names such as 'a0.h1->m1', not {shown(wrong)}.")
        if isinstance(source, Mapping):
            if scores is not None:
                raise ValueError("the dictionary has the scores; leave out the other ones.")
            scores = list(source.values())
        found = Edges(sorted(names) if isinstance(source, (set, frozenset)) else names)
        if scores is not None:
            found = Edges(found.names, _scores(scores, len(names)))
    elif scores is not None:
        raise ValueError(
            f"{shown(source)} brings its own scores; give scores with a list of edges, or leave them out."
        )
    if not found.names:
        raise ValueError("the circuit has no edges, so there is nothing to show.")
    if len(set(found.names)) < len(found.names):
        twice = next(name for name in found.names if found.names.count(name) > 1)
        raise ValueError(f"{twice} is in the circuit twice; give each edge once.")
    return found


def _edges_of_object(source: Any) -> Edges | None:
    """The edges of a discovery, a circuit, a planted model or a published circuit; None for anything else."""
    if hasattr(source, "score_matrix"):
        graph, result = source.graph, source.scores
        scores = _of_matrix(graph, source.score_matrix, graph.edge_names())
        return Edges(graph.edge_names(), scores, result.title, result.unit, graph=graph, is_whole=True)
    if hasattr(source, "kept"):
        names = source.edges()
        scores = None if source.scores is None else _of_matrix(source.graph, source.scores, names)
        return Edges(names, scores, source.name, graph=source.graph)
    if hasattr(source, "true_edges"):
        model = source.model
        names = sorted(source.true_edges, key=_in_order)
        heads = [
            f"a{layer}.h{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)
        ]
        mlps = [] if model.cfg.attn_only else [f"m{layer}" for layer in range(model.cfg.n_layers)]
        return Edges(names, None, f"{source.name}: the true circuit", "", source.notes, [*heads, *mlps])
    if hasattr(source, "edges") and hasattr(source, "source") and not callable(source.edges):
        return Edges(list(source.edges), None, f"{source.name}, as published", graph=source.graph)
    return None


def _of_matrix(graph: Any, matrix: Any, names: Sequence[str]) -> list[float | None]:
    values = as_array(matrix)
    places = [graph.edge(name) for name in names]
    return _scores(values[[row for row, _ in places], [column for _, column in places]], len(names))


def _scores(scores: Any, count: int) -> list[float | None]:
    try:
        values = [math.nan if score is None else float(score) for score in as_list(scores)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"scores must be numbers, one per edge, not {shown(scores)}.") from error
    if len(values) != count:
        raise ValueError(f"there are {count} edges but {len(values)} scores; give one score per edge.")
    if any(math.isinf(value) for value in values):
        raise ValueError("a score is infinite; check how it was computed.")
    return [None if math.isnan(value) else value for value in values]


def as_list(values: Any) -> list[Any]:
    """A list, tensor or array of one dimension as a list."""
    return list(values) if isinstance(values, (list, tuple)) else np.ravel(as_array(values)).tolist()


def _in_order(edge: str) -> tuple[tuple[int, ...], ...]:
    """Forward order of the edges of a model."""

    def rank(end: str) -> tuple[int, ...]:
        if end in ("input", "logits"):
            return (-1,) if end == "input" else (10**6,)
        layer, _, head = end.split("<")[0][1:].partition(".h")
        return (int(layer), int(not head), int(head or 0), "qkv".find(end[-2:-1]))

    return tuple(rank(end) for end in edge.split("->"))
