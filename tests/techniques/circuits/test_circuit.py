"""Circuits: making, joining, pruning, saving, comparing."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score

from mechscope.techniques.circuits._live_edges import live_edges
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.comparison import auroc
from mechscope.techniques.circuits.graph import EdgeGraph
from tests.model.tiny import exact_model
from tests.techniques.circuits.naive import random_edges

GRAPH = EdgeGraph(2, 2, 2)
PATH = ["input->a0.h1<v>", "a0.h1->a1.h0<k>", "a1.h0->logits"]


def paths_by_search(graph: EdgeGraph, edges: torch.Tensor) -> torch.Tensor:
    """Edges on a path from input to logits, found by walking every path."""
    on_path = torch.zeros_like(edges)

    def walk(row: int, trail: list[tuple[int, int]]) -> None:
        for column in edges[row].nonzero().flatten().tolist():
            longer = [*trail, (row, column)]
            if column == len(graph.destinations) - 1:
                for place in longer:
                    on_path[place] = True
            for following in graph.feeds[column].nonzero().flatten().tolist():
                walk(following, longer)

    walk(0, [])
    return on_path


@pytest.mark.parametrize(
    "graph",
    [EdgeGraph(2, 2, 2), EdgeGraph(2, 2, 1), EdgeGraph(3, 1, 1, parallel=True), EdgeGraph(2, 2, 2, True)],
)
def test_what_dangles_is_found_as_by_walking_every_path(graph: EdgeGraph) -> None:
    several = torch.stack(
        [random_edges(graph, share, seed) for seed, share in enumerate((0.1, 0.2, 0.3, 0.5))]
    )
    for edges, pruned in zip(several, live_edges(graph, several), strict=True):
        assert torch.equal(pruned, paths_by_search(graph, edges))


def test_nodes_and_edges() -> None:
    circuit = Circuit.from_edges(GRAPH, [*PATH, "input->m0"])
    assert circuit.n_edges == 4
    assert circuit.nodes() == ["input", "a0.h1", "m0", "a1.h0", "logits"]
    assert set(circuit.pruned().edges()) == set(PATH)
    assert "input->m0" in circuit
    assert "m0->logits" not in circuit
    nodes = Circuit.from_nodes(GRAPH, ["a0.h1", "m1"])
    assert set(nodes.edges()) == {
        f"{source}->{destination}"
        for source, destination in itertools.product(
            ["input", "a0.h1", "m1"], ["a0.h1<q>", "a0.h1<k>", "a0.h1<v>", "m1", "logits"]
        )
        if f"{source}->{destination}" in GRAPH.edge_names()
    }
    assert Circuit.full(GRAPH).n_edges == GRAPH.n_edges


def test_sets_of_edges() -> None:
    one, other = Circuit.from_edges(GRAPH, PATH[:2]), Circuit.from_edges(GRAPH, PATH[1:])
    assert (one | other).edges() == Circuit.from_edges(GRAPH, PATH).edges()
    assert (one & other).edges() == PATH[1:2]
    assert (one - other).edges() == PATH[:1]
    assert one.complement().n_edges == GRAPH.n_edges - 2
    assert (one | one.complement()) == Circuit.full(GRAPH)
    assert one != other
    assert Circuit.from_edges(GRAPH, PATH).without("a1.h0").edges() == PATH[:1]
    with pytest.raises(ValueError, match="belongs to"):
        one | Circuit.full(EdgeGraph(1, 2, 2))


def test_saved_in_the_published_naming_and_read_back(tmp_path: Path) -> None:
    scores = torch.randn(GRAPH.valid.shape).masked_fill(~GRAPH.valid, torch.nan)
    circuit = Circuit(GRAPH, GRAPH.mask(PATH), scores, name="mine")
    path = circuit.save(tmp_path / "circuit.json")
    document = json.loads(path.read_text())
    assert document["edges"]["a0.h1->a1.h0<k>"]["in_graph"] is True
    assert document["edges"]["m0->logits"]["in_graph"] is False
    assert document["nodes"]["a1.h0"] == {"in_graph": True}
    assert document["nodes"]["m0"] == {"in_graph": False}
    again = Circuit.load(path)
    assert again == circuit
    assert again.name == "mine"
    assert again.scores is not None
    assert torch.allclose(again.scores, scores, equal_nan=True)
    plain = Circuit.from_edges(GRAPH, PATH)
    assert set(json.loads(plain.save(path).read_text())["edges"]) == set(PATH)
    assert Circuit.load(path) == plain
    model = exact_model("grouped")
    theirs = Circuit.from_edges(model, ["input->a0.h1<k>"])
    assert Circuit.load(theirs.save(path), model).model is model


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", ValueError, "not valid JSON"),
        ("[]", ValueError, "not a circuit"),
        ('{"edges": []}', ValueError, 'has no "cfg"'),
        ('{"cfg": {"n_layers": 2}, "edges": []}', ValueError, "lacks n_heads"),
        ('{"cfg": {"n_layers": 2, "n_heads": 2}, "edges": 3}', ValueError, "must be an object or a list"),
        ('{"cfg": {"n_layers": 2, "n_heads": 2}, "edges": ["input->a7.h0<q>"]}', KeyError, "a7.h0<q>"),
        ('{"cfg": {"n_layers": 2, "n_heads": 2}, "edges": {"input->m0": "yes"}}', ValueError, "must say"),
        (
            '{"cfg": {"n_layers": 2, "n_heads": 2}, "edges": {"input->m0": {"score": "a"}}}',
            ValueError,
            "must say",
        ),
    ],
)
def test_files_that_are_no_circuit(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    path = tmp_path / "circuit.json"
    path.write_text(text)
    with pytest.raises(error, match=message):
        Circuit.load(path)
    with pytest.raises(FileNotFoundError):
        Circuit.load(tmp_path / "none.json")


def test_lists_of_names_and_another_model(tmp_path: Path) -> None:
    path = tmp_path / "circuit.json"
    path.write_text(json.dumps({"edges": ["input->m0", "m0->logits"]}))
    model = exact_model("plain")
    assert Circuit.load(path, model).edges() == ["input->m0", "m0->logits"]
    Circuit.full(GRAPH).save(path)
    with pytest.raises(ValueError, match="belongs to a model with"):
        Circuit.load(path, model)


def test_precision_recall_and_areas() -> None:
    true = Circuit.from_edges(GRAPH, PATH)
    found = Circuit.from_edges(GRAPH, [*PATH[:2], "input->m0", "m0->logits"])
    comparison = found.compare(true)
    assert comparison.edges.precision == pytest.approx(2 / 4)
    assert comparison.edges.recall == pytest.approx(2 / 3)
    # Nodes a0.h1, a1.h0 are true; found are a0.h1, a1.h0 (an edge ends there) and m0.
    assert comparison.nodes.precision == pytest.approx(2 / 3)
    assert comparison.nodes.recall == 1
    assert true.compare(PATH).edges.auroc == 1
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(GRAPH.valid.shape, generator=generator).round(decimals=1)
    ranked = true.replace(scores=scores).compare(PATH)
    expected = roc_auc_score(true.kept[GRAPH.valid].numpy(), scores.abs()[GRAPH.valid].numpy())
    assert ranked.edges.auroc == pytest.approx(expected)


def test_auroc_without_one_kind_is_no_number() -> None:
    assert math.isnan(auroc(torch.rand(3), torch.ones(3, dtype=torch.bool)))
    with pytest.raises(ValueError, match="no edge"):
        Circuit.full(GRAPH).compare([])


def test_bad_circuits() -> None:
    with pytest.raises(ValueError, match="boolean matrix"):
        Circuit(GRAPH, torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="is not an edge"):
        Circuit(GRAPH, torch.ones_like(GRAPH.valid))
    with pytest.raises(ValueError, match="scores have shape"):
        Circuit(GRAPH, GRAPH.valid, torch.zeros(2, 2))
    with pytest.raises(KeyError, match="did you mean"):
        Circuit.from_nodes(GRAPH, ["a9.h1"])
    with pytest.raises(ValueError, match="no model in memory"):
        Circuit.full(GRAPH).evaluate(None)  # type: ignore[arg-type]
