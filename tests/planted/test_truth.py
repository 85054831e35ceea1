"""The graph that is said to be true is the one that brute force finds."""

from __future__ import annotations

import random

import pytest
import torch

from mechscope import planted
from tests.planted.edge_patching import all_edges, edge_effects, outputs, swap_edge
from tests.planted.test_compiling import random_value


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_swapping_an_edge_matters_exactly_where_it_is_true(name: str) -> None:
    spare = int(name in ("induction", "histogram", "ioi"))
    model = planted.load(name, extra_layers=spare, extra_heads=1, extra_neurons=3, seed=3)
    task = model.task(40, seed=1)
    effects = edge_effects(model.model, task.clean, task.corrupted, task.answers.positions)
    assert model.true_edges | model.fixed_edges <= effects.keys()
    assert min(effects[edge] for edge in model.true_edges) > 1.0
    others = {edge: effect for edge, effect in effects.items() if edge not in model.true_edges}
    assert len(others) > len(model.true_edges)
    assert max(others.values()) < 1e-4, max(others, key=others.__getitem__)


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_zeroing_an_edge_matters_only_where_it_is_true_or_fixed(name: str) -> None:
    model = planted.load(name, extra_heads=1, extra_neurons=3, seed=5)
    task = model.task(32, seed=2)
    rows, where = torch.arange(32)[:, None], task.answers.positions
    base = model.model(task.clean)[rows, where]
    sent = outputs(model.model, task.clean)
    for edge in all_edges(model.model):
        logits = swap_edge(model.model, task.clean, edge, -sent[edge.split("->")[0]])[rows, where]
        effect = float((logits - base).abs().max())
        if edge in model.true_edges:
            assert effect > 1.0, edge
        elif edge not in model.fixed_edges:
            assert effect < 1e-4, edge


@pytest.mark.parametrize("name", ["induction", "dyck2"])
def test_truth_follows_the_disguise(name: str) -> None:
    model = planted.load(name, extra_layers=1, extra_heads=1, extra_neurons=5, rotate=True, seed=11)
    plain = planted.load(name)
    assert len(model.true_edges) == len(plain.true_edges)
    assert model.true_edges != plain.true_edges
    task = model.task(24, seed=4)
    effects = edge_effects(model.model, task.clean, task.corrupted, task.answers.positions)
    ranked = sorted(effects, key=effects.__getitem__, reverse=True)
    assert set(ranked[: len(model.true_edges)]) == model.true_edges


def test_the_induction_circuit_by_name() -> None:
    model = planted.load("induction")
    assert model.true_edges == {
        "input->a0.h0<v>",
        "a0.h0->a1.h0<k>",
        "input->a1.h0<q>",
        "input->a1.h0<v>",
        "a1.h0->logits",
    }
    assert model.fixed_edges == {"input->a0.h0<q>", "input->a0.h0<k>", "input->a1.h0<k>"}
    assert model.true_nodes == {"input", "a0.h0", "a1.h0", "logits"}
    assert model.true_heads == ((0, 0), (1, 0))
    assert model.notes["a1.h0"].startswith("induction: looks for token before by token")


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_every_working_component_has_a_note_and_every_note_a_component(name: str) -> None:
    model = planted.load(name, extra_heads=1, rotate=True)
    assert set(model.notes) == set(model.true_nodes) - {"input", "logits"}
    assert all(note.strip() for note in model.notes.values())


@pytest.mark.parametrize("seed", [0, 2, 9, 12])
def test_no_edge_of_a_random_program_works_unseen(seed: int) -> None:
    rng = random.Random(seed)
    program = planted.elementwise(str, random_value(rng, 2))
    model = planted.compile_program(program, ("a", "b", "c"), 4, extra_heads=1, extra_neurons=2)
    clean = model.encode(["a b c a", "a b b b", "c a c b", "b b a c"])
    effects = edge_effects(model.model, clean, clean.flip(0), torch.arange(1, 5).expand(4, 4))
    false = {edge: effect for edge, effect in effects.items() if edge not in model.true_edges}
    assert max(false.values()) < 1e-3, max(false, key=false.__getitem__)
