"""Circuits as JSON files, with nodes and edges by their published names.

`{"cfg": {"n_layers": …, "n_heads": …}, "nodes": {"a5.h1": {"in_graph": true}, …},
"edges": {"a5.h1->logits": {"score": 0.3, "in_graph": true}, …}}`
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Bool, Float

from mechscope.arguments import is_whole_number, not_of_kind, shown
from mechscope.reading import naming, read_json
from mechscope.storage.files import write_atomically
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

FORMAT = "mechscope circuit 1"
LARGEST_SCORE = torch.finfo(torch.float32).max
MOST_HEADS = 20_000
"""Twice as many as the largest published models have; a damaged file that claims more could exhaust the memory."""


@dataclass(frozen=True)
class StoredCircuit:
    """What a circuit file contains."""

    graph: EdgeGraph
    kept: Bool[torch.Tensor, "source destination"]
    scores: Float[torch.Tensor, "source destination"] | None
    """None if no edge in the file has a score."""
    name: str


def write_circuit_file(path: str | Path, circuit: StoredCircuit, nodes: Iterable[str]) -> Path:
    """Write a circuit completely or not at all: the edges in it, and every edge that has a score.

    Args:
        path: the file.
        circuit: what to write.
        nodes: names of the nodes in the circuit.
    """
    graph, scores = circuit.graph, circuit.scores
    listed = circuit.kept if scores is None else circuit.kept | (graph.valid & scores.isfinite())
    edges: dict[str, dict[str, object]] = {}
    for row, column in listed.nonzero().tolist():
        entry: dict[str, object] = {"in_graph": bool(circuit.kept[row, column])}
        if scores is not None and math.isfinite(float(scores[row, column])):
            entry["score"] = float(scores[row, column])
        edges[f"{graph.sources[row]}->{graph.destinations[column]}"] = entry
    inside = set(nodes)
    document = {
        "format": FORMAT,
        "name": circuit.name,
        "cfg": {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "n_key_value_heads": graph.n_kv_heads,
            "attn_only": graph.attn_only,
            "parallel_attn_mlp": graph.parallel,
            "qkv": graph.qkv,
        },
        "nodes": {node: {"in_graph": node in inside} for node in graph.nodes},
        "edges": edges,
    }
    return write_atomically(path, json.dumps(document, indent=1))


def read_circuit_file(path: str | Path, model: HookedTransformer | None = None) -> StoredCircuit:
    """Read a circuit file.

    Edges may also be a list of names, or names with true or false.

    Args:
        path: the file.
        model: checked against the file, and needed if the file does not give the shape of its model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a circuit, or belongs to a model of another shape.
        KeyError: for an edge that the model does not have.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no circuit at {path}.")
    document = read_json(path)
    if not isinstance(document, dict) or "edges" not in document:
        raise ValueError(
            f'{path} is not a circuit: it must be an object with "edges", such as {{"edges": {{…}}}}.'
        )
    graph = _graph(path, document.get("cfg"), model)
    kept = torch.zeros_like(graph.valid)
    scores = torch.full(graph.valid.shape, math.nan)
    for name, (inside, score) in _entries(path, document["edges"]).items():
        try:
            place = graph.edge(name)
        except KeyError as error:
            raise KeyError(f"{path}: {error.args[0]}") from error
        kept[place] = inside
        if score is not None:
            scores[place] = score
    has_scores = bool(scores.isfinite().any())
    return StoredCircuit(graph, kept, scores if has_scores else None, str(document.get("name", path.stem)))


def _graph(path: Path, cfg: object, model: HookedTransformer | None) -> EdgeGraph:
    graph = None
    if cfg is not None:
        if not isinstance(cfg, dict):
            raise ValueError(f'{path}: "cfg" must be an object with n_layers and n_heads.')
        shape = cast("dict[str, Any]", cfg)
        missing = [key for key in ("n_layers", "n_heads") if not is_whole_number(shape.get(key), least=1)]
        if missing:
            raise ValueError(f'{path}: "cfg" lacks {" and ".join(missing)}: whole numbers above 0.')
        layers, heads = shape["n_layers"], shape["n_heads"]
        groups = shape.get("n_key_value_heads") or heads
        switches = {"attn_only": False, "parallel_attn_mlp": False, "qkv": True}
        switches = {name: shape.get(name, default) for name, default in switches.items()}
        if wrong := [name for name, value in switches.items() if not isinstance(value, bool)]:
            raise ValueError(f'{path}: "cfg": {" and ".join(wrong)} must be true or false.')
        if not is_whole_number(groups, least=1) or layers * heads > MOST_HEADS:
            raise ValueError(
                f'{path}: "cfg" describes {shown(layers)} layers of {shown(heads)} heads in {shown(groups)} groups; '
                f"a graph has at most {MOST_HEADS:,} heads in all."
            )
        with naming(path):
            graph = EdgeGraph(layers, heads, groups, *switches.values())
    if model is None:
        if graph is None:
            raise ValueError(
                f'{path} has no "cfg" with the shape of its model; give the model: load(path, model).'
            )
        return graph
    ours = EdgeGraph.of(model, True if graph is None else graph.qkv)
    if graph is not None and graph != ours:
        raise ValueError(f"{path} belongs to a model with {graph}; this model has {ours}.")
    return ours


def _entries(path: Path, edges: object) -> dict[str, tuple[bool, float | None]]:
    if isinstance(edges, list):
        names = cast("list[Any]", edges)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f'{path}: a list of "edges" must be a list of names such as "a0.h1->logits".')
        edges = dict.fromkeys(names, True)
    if not isinstance(edges, dict):
        raise ValueError(f'{path}: "edges" must be an object or a list of names, not {type(edges).__name__}.')
    entries: dict[str, tuple[bool, float | None]] = {}
    for name, entry in cast("dict[str, Any]", edges).items():
        inside = entry.get("in_graph", True) if isinstance(entry, dict) else entry
        score = entry.get("score") if isinstance(entry, dict) else None
        number = score is None or (not_of_kind(score, float) is None and abs(score) <= LARGEST_SCORE)
        if not isinstance(name, str) or not isinstance(inside, bool) or not number:
            raise ValueError(
                f'{path}: the edge {name!r} must say {{"in_graph": true or false, "score": a number}}, not {entry!r}.'
            )
        entries[name] = (inside, None if score is None else float(score))
    return entries
