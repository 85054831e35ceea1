"""The published circuits: their edges as other transcriptions have them, and rankings held against them."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from mechscope import tasks
from mechscope.data.word_tokenizer import word_tokenizer
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.circuits import Circuit, EdgeGraph, discover
from mechscope.techniques.circuits.published import PUBLISHED, published_circuit

HEAD = re.compile(r"a(\d+)\.h(\d+)(<[qkv]>)?")


def random_model(seed: int, *, n_layers: int, n_heads: int, d_vocab: int = 20) -> HookedTransformer:
    return HookedTransformer(
        HookedTransformerConfig(
            n_layers=n_layers, n_heads=n_heads, d_model=16, d_head=16 // n_heads, n_ctx=64, d_vocab=d_vocab,
            attn_only=True, seed=seed,
        )
    )  # fmt: skip


def place(node: str, n_layers: int) -> tuple[int, int]:
    """(layer, 0 for attention or 1 for an MLP); the input is before and the logits behind everything."""
    if node in ("input", "logits"):
        return (-1, 0) if node == "input" else (n_layers, 0)
    head = HEAD.fullmatch(node)
    return (int(head[1]), 0) if head else (int(node[1:]), 1)


@pytest.mark.parametrize("name", [*PUBLISHED])
def test_every_part_exists_and_every_edge_goes_forward(name: str) -> None:
    published = published_circuit(name)
    graph = published.graph
    for edge in published.edges:
        writer, reader = edge.split("->")
        assert place(writer, graph.n_layers) < place(reader, graph.n_layers), edge
        for node in (writer, reader):
            if head := HEAD.fullmatch(node):
                assert int(head[1]) < graph.n_layers and int(head[2]) < graph.n_heads
                assert bool(head[3]) == (node == reader)
            elif node.startswith("m"):
                assert not graph.attn_only and int(node[1:]) < graph.n_layers
    assert len({*published.edges}) == published.n_edges
    circuit = published.circuit()
    # Nothing dangles: each edge is on a path from the input to the logits.
    assert circuit.pruned() == circuit


def test_the_models_are_those_that_load_model_knows() -> None:
    from mechscope.checkpoints.registry import lookup

    assert {one.model for one in PUBLISHED.values()} == {"gpt2-small", "attn-only-4l"}
    assert all(lookup(one.model) is not None for one in PUBLISHED.values())
    assert published_circuit("greater-than").graph.n_edges == 32_491


def test_docstring_has_as_many_edges_as_published() -> None:
    """The paper counts 37: with each input of a head that is used, joined to that head by an edge of its own."""
    edges = published_circuit("docstring").edges
    inputs = {edge.split("->")[1] for edge in edges if "<" in edge}
    assert (len(edges), len(inputs)) == (24, 13)
    assert len(edges) + len(inputs) == 37
    heads = {node.split("<")[0] for edge in edges for node in edge.split("->")} - {"input", "logits"}
    assert heads == {"a0.h5", "a1.h2", "a1.h4", "a2.h0", "a3.h0", "a3.h6"}


def test_greater_than_is_its_groups_of_parts_joined() -> None:
    """Once more from the other end: ask of every pair of parts whether their groups are joined."""
    published = published_circuit("greater-than")
    first = {"a0.h1", "a0.h3", "a0.h5"}
    middle = {"a5.h5", "a6.h1", "a6.h9", "a7.h10", "a8.h11", "a9.h1"}
    early, late = ({f"m{layer}" for layer in layers} for layers in (range(4), range(8, 12)))
    before = {f"m{layer}" for layer in range(9)}

    def joined(writer: str, reader: str, letter: str) -> bool:
        return (
            (writer == "input" and reader in first | early)
            or (reader == "logits" and writer in middle | late)
            or any({writer, reader} <= group for group in (early, late, before))
            or (writer == "a0.h1" and reader in early | middle)
            or (writer in first | early and reader in middle)
            or (writer in middle and reader in late)
            or (writer in before and reader in middle and letter == "q")
        )

    expected = set()
    for edge in published.graph.edge_names():
        writer, reader = edge.split("->")
        part, _, letter = reader.partition("<")
        if joined(writer, part, letter.rstrip(">")):
            expected.add(edge)
    assert {*published.edges} == expected
    assert len(expected) == 235


@pytest.mark.parametrize("name", [*PUBLISHED])
def test_a_ranking_is_scored(name: str) -> None:
    published = published_circuit(name)
    truth = published.circuit()
    scores = truth.kept.float().masked_fill(~published.graph.valid, torch.nan)
    assert truth.replace(scores=scores).compare(truth).edges.auroc == 1
    assert truth.replace(scores=1 - scores).compare(truth).edges.auroc == 0
    chance = []
    for seed in range(6):
        drawn = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed))
        chance.append(truth.replace(scores=drawn).compare(truth).edges.auroc)
    assert sum(chance) / len(chance) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("seed", [0, 1])
def test_edges_that_a_method_finds_are_held_against_it(seed: int) -> None:
    tokenizer = word_tokenizer(tasks.vocabulary("docstring"))
    model = random_model(seed, n_layers=4, n_heads=8, d_vocab=len(tokenizer))
    model.set_tokenizer(tokenizer)
    task = tasks.docstring(model, 4, seed, metric="kl_divergence")
    agreement = discover(model, task, "eap-ig", progress=False).compare(
        published_circuit("docstring").circuit(model)
    )
    # Random weights know nothing of it.
    assert 0.1 < agreement.edges.auroc < 0.9
    assert agreement.edges.recall < 0.5


def test_wrong_names_and_wrong_shapes() -> None:
    with pytest.raises(KeyError, match=r"called 'greater-then'\. Did you mean greater-than\?.* docstring"):
        published_circuit("greater-then")
    for name, changes in itertools.product(PUBLISHED, ({"n_layers": 2}, {"n_layers": 4})):
        with pytest.raises(ValueError, match=rf"the {name} circuit was found in .* this model is"):
            published_circuit(name).circuit(random_model(0, n_heads=2, **changes))
    graph = EdgeGraph(4, 8, 8, attn_only=True)
    assert Circuit.from_edges(graph, published_circuit("docstring").edges).n_edges == 24
