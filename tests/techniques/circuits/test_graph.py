"""The edge graph: its names, its order, and what a wrong name is told."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import prune

from mechscope.techniques.circuits.graph import EdgeGraph
from tests.model.tiny import exact_model


def test_a_small_graph_by_hand() -> None:
    graph = EdgeGraph(n_layers=1, n_heads=2, n_kv_heads=1)
    assert graph.sources == ("input", "a0.h0", "a0.h1", "m0")
    assert graph.destinations == ("a0.h0<q>", "a0.h1<q>", "a0.h0<k>", "a0.h0<v>", "m0", "logits")
    assert graph.nodes == ("input", "a0.h0", "a0.h1", "m0", "logits")
    assert graph.edge_names() == [
        *(f"input->{name}" for name in graph.destinations),
        "a0.h0->m0",
        "a0.h0->logits",
        "a0.h1->m0",
        "a0.h1->logits",
        "m0->logits",
    ]
    fed = {(graph.destinations[column], graph.sources[row]) for column, row in graph.feeds.nonzero().tolist()}
    shared = {(f"a0.h0<{which}>", f"a0.h{head}") for which in "kv" for head in range(2)}
    assert fed == shared | {("a0.h0<q>", "a0.h0"), ("a0.h1<q>", "a0.h1"), ("m0", "m0")}


def test_gpt2_small_has_the_published_number_of_edges() -> None:
    graph = EdgeGraph(12, 12, 12)
    assert (len(graph.sources), len(graph.destinations), graph.n_edges) == (157, 445, 32491)
    assert EdgeGraph(12, 12, 12, qkv=False).n_edges == 11611


@pytest.mark.parametrize("variant", ["plain", "attention only", "grouped", "parallel"])
def test_edges_are_those_that_names_say(variant: str) -> None:
    model = exact_model(variant, n_layers=3)
    graph = EdgeGraph.of(model)

    def when(name: str) -> tuple[int, int]:
        part = name.split("<")[0]
        if part in ("input", "logits"):
            return (-1, 0) if part == "input" else (99, 0)
        layer = int(part[1:].split(".")[0])
        return layer, int(part.startswith("m"))

    for row, source in enumerate(graph.sources):
        for column, destination in enumerate(graph.destinations):
            writes, reads = when(source), when(destination)
            if variant == "parallel":
                reads = (reads[0], 0)
            assert bool(graph.valid[row, column]) == (writes < reads), (source, destination)
            if graph.valid[row, column]:
                assert graph.edge(f"{source}->{destination}") == (row, column)
    assert ("a0.h1->m0" in graph.edge_names()) == (variant in ("plain", "grouped"))


def test_masks_and_names_are_inverse() -> None:
    graph = EdgeGraph(2, 3, 3)
    chosen = graph.valid & (torch.rand(graph.valid.shape, generator=torch.Generator().manual_seed(1)) < 0.3)
    assert torch.equal(graph.mask(graph.edge_names(chosen)), chosen)
    assert torch.equal(graph.mask(graph.edge_names()), graph.valid)


def test_edges_of_a_node() -> None:
    graph = EdgeGraph(2, 2, 2, attn_only=True)
    names = set(graph.edge_names(graph.edges_of("a1.h0")))
    assert names == {name for name in graph.edge_names() if name.startswith("a1.h0->") or "->a1.h0<" in name}
    assert set(graph.edge_names(graph.edges_of("logits"))) == {
        name for name in graph.edge_names() if name.endswith("->logits")
    }


def test_shared_keys_belong_to_no_head_alone() -> None:
    graph = EdgeGraph(1, 2, 1, attn_only=True)
    assert set(graph.edge_names(graph.edges_of("a0.h1"))) == {"input->a0.h1<q>", "a0.h1->logits"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a0.h1->a1.h9<q>", r"did you mean .*a1\.h"),
        ("a0h1->logits", r"no part called 'a0h1' writes .* did you mean a0\.h1"),
        ("m1->a0.h1<q>", "m1 writes after"),
        ("a0.h1", "an edge is written src->dst"),
        ("a0.h0->a1.h1", "reads from"),
    ],
)
def test_wrong_names_are_told_the_nearest(name: str, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        EdgeGraph(2, 2, 2).edge(name)


def test_shapes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="equal groups"):
        EdgeGraph(2, 4, 3)
    with pytest.raises(ValueError, match="use qkv=True"):
        EdgeGraph(2, 4, 2, qkv=False)


@pytest.mark.parametrize("part", ["blocks.1", "blocks.0.attn"])
def test_a_torch_hook_that_a_circuits_run_would_pass_by_is_refused(part: str) -> None:
    model = exact_model()
    handle = model.get_submodule(part).register_forward_hook(lambda module, given, out: out * 2)
    with pytest.raises(ValueError, match=f"{part} has one .* parametrization"):
        EdgeGraph.of(model)
    handle.remove()
    prune.l1_unstructured(
        model.blocks[0].attn, "W_Q", 0.5
    )  # hooks the part only to keep its weight up to date
    EdgeGraph.of(model)
