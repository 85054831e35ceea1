"""What a circuit view accepts and refuses, and which edges it keeps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from mechscope import planted, viz
from mechscope.techniques.circuits import Circuit, Discovery, EdgeGraph, discover, published_circuit

GRAPH = EdgeGraph(n_layers=1, n_heads=2, n_kv_heads=2, attn_only=True)
EDGES = ["input->a0.h1<v>", "a0.h1->logits", "input->logits"]
SCORES = [0.5, -2.0, 0.25]


@pytest.fixture(scope="module")
def program() -> planted.PlantedModel:
    return planted.load("ioi")


@pytest.fixture(scope="module")
def found(program: planted.PlantedModel) -> Discovery:
    return discover(program.model, program.task(16), "eap", progress=False)


@pytest.mark.parametrize(
    "given",
    [
        (EDGES, SCORES),
        (EDGES, np.array(SCORES)),
        (EDGES, torch.tensor(SCORES)),
        (dict(zip(EDGES, SCORES, strict=True)),),
    ],
    ids=["lists", "array", "tensor", "dictionary"],
)
def test_names_with_scores(given: Any) -> None:
    view = viz.circuit(*given, n_edges=2)
    assert view.props["edges"] == EDGES
    assert view.props["scores"] == SCORES
    assert view.threshold == 0.5
    assert view.kept_edges == EDGES[:2]
    view.threshold = 1
    assert view.kept_edges == EDGES[1:2]
    view.threshold = None
    assert view.kept_edges == []
    assert view.nodes == ("input", "a0.h1", "logits")


def test_a_discovery_is_compared_with_the_true_circuit(
    program: planted.PlantedModel, found: Discovery
) -> None:
    view = viz.circuit(found, truth=program)
    assert sorted(view.props["edges"]) == sorted(found.graph.edge_names())
    assert view.props["unit"] == "logits"
    best = found.circuit(len(program.true_edges), prune="top")
    # The pruned circuit is without dangling edges.
    assert set(best.edges()) <= set(view.kept_edges)
    assert len(view.kept_edges) == len(program.true_edges)
    place = view.props["edges"].index("a2.h0->logits")
    assert view.props["scores"][place] == float(found.score_matrix[found.graph.edge("a2.h0->logits")])
    assert view.props["notes"] == program.notes
    assert len(viz.circuit(found, n_edges=3).kept_edges) == 3


def test_only_the_strongest_edges_of_a_large_model_are_drawn(
    program: planted.PlantedModel, found: Discovery
) -> None:
    values = torch.full(found.graph.valid.shape, math.nan)
    values[found.graph.valid] = torch.arange(1.0, found.graph.n_edges + 1)
    changed = found.scores.values.copy(data=values.numpy())
    scored = dataclasses.replace(found, scores=dataclasses.replace(found.scores, values=changed))
    view = viz.circuit(scored, truth=program, most_edges=10)
    drawn = view.props["edges"]
    assert set(program.true_edges) <= set(drawn)
    omitted = view.props["omitted"]
    assert omitted["count"] == found.graph.n_edges - len(drawn)
    # No threshold of the slider would have kept an edge that is not drawn.
    assert len(view.kept_edges) >= len(program.true_edges)
    assert view.threshold is not None
    assert view.threshold > omitted["largest"]


def test_circuits_are_shown_as_they_are(program: planted.PlantedModel, found: Discovery) -> None:
    drawn = viz.circuit(Circuit.from_edges(GRAPH, EDGES, name="my circuit"))
    assert (drawn.kept_edges, drawn.threshold, drawn.props["label"]) == (
        sorted(EDGES, key=GRAPH.edge_names().index),
        None,
        "my circuit",
    )
    published = published_circuit("greater-than")
    assert viz.circuit(published).kept_edges == list(published.edges)
    true = viz.circuit(program)
    assert set(true.kept_edges) == program.true_edges
    assert set(true.nodes) == {"input", "logits", "a0.h0", "a1.h0", "a2.h0"}
    # A circuit is compared by its members, whatever they score.
    chosen = found.circuit(5)
    compared = viz.circuit(chosen, truth=program.true_edges)
    assert compared.kept_edges == chosen.edges()
    assert set(compared.props["edges"]) == set(chosen.edges()) | program.true_edges
    with pytest.raises(ValueError, match="have no scores, so no threshold"):
        compared.threshold = 1.0


def test_shared_keys_and_values_have_a_box_of_their_own() -> None:
    graph = EdgeGraph(n_layers=1, n_heads=4, n_kv_heads=2, attn_only=True)
    circuit = Circuit.from_edges(graph, ["input->a0.h1<k>", "input->a0.h3<q>", "a0.h3->logits"])
    view = viz.circuit(circuit)
    assert "a0 k/v 1" in view.nodes
    assert (view.props["nHeads"], view.props["nKvHeads"]) == (4, 2)


def test_missing_scores_are_none() -> None:
    view = viz.circuit(EDGES, [None, math.nan, 0.5])
    assert view.props["scores"] == [None, None, 0.5]
    assert view.kept_edges == EDGES[2:]
    assert viz.circuit(EDGES, [0, 0, 0]).kept_edges == []


def test_a_node_is_selected_by_its_name() -> None:
    view = viz.circuit(EDGES)
    assert view.selected_node is None
    view.selected_node = "a0.h1"
    assert view.selected_node == "a0.h1"
    with pytest.raises(
        ValueError, match=r"'a7\.h1' is not in this graph; its nodes are input, a0\.h1, logits"
    ):
        view.selected_node = "a7.h1"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("a0.h1->logits",), {}, TypeError, "a circuit is a list of names"),
        ((3,), {}, TypeError, "a circuit is a list of names"),
        (([1, 2],), {}, TypeError, "are names such as"),
        (([],), {}, ValueError, "no edges, so there is nothing to show"),
        ((["input->a0",],), {}, ValueError, "is not a node of a circuit"),
        ((["input->logits"] * 2,), {}, ValueError, "is in the circuit twice"),
        ((EDGES, [1.0]), {}, ValueError, "3 edges but 1 scores"),
        ((EDGES, [1.0, 2.0, math.inf]), {}, ValueError, "infinite"),
        ((EDGES, ["a", "b", "c"]), {}, ValueError, "scores must be numbers"),
        (({"input->logits": 1.0}, [1.0]), {}, ValueError, "the dictionary has the scores"),
        ((Circuit.from_edges(GRAPH, EDGES), SCORES), {}, ValueError, "brings its own scores"),
        ((EDGES,), {"n_edges": 2}, ValueError, "these edges have no scores"),
        ((EDGES, SCORES), {"n_edges": 3, "most_edges": 2}, ValueError, "more than most_edges=2"),
        ((EDGES, SCORES), {"truth": ["input->a0.h0<v>"]}, ValueError, "has no score"),
        ((Circuit.from_edges(GRAPH, EDGES),), {"truth": ["input->a3.h0<v>"]}, KeyError, "a3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    arguments: Any, options: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        viz.circuit(*arguments, **options)


def test_the_picture_shows_the_kept_edges() -> None:
    html = viz.circuit(EDGES, SCORES, n_edges=2, title="<b>mine</b>", unit="nats").notebook_html()
    picture = html.split("<script")[0]
    assert picture.count("<polyline") == 2
    assert "&lt;b&gt;mine&lt;/b&gt;" in picture
    assert "2 edges, with scores of at least 0.5 nats" in picture
    assert "a0.h1-&gt;logits −2" in picture
