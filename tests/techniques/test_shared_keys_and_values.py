"""Grouped-query attention: results, names and figures say which query heads share a key/value head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mechscope.results import load_result
from mechscope.techniques import (
    Edit,
    Sweep,
    attribution_patching,
    patch,
    path_patching,
    path_patching_every_head,
    subspace_patching,
)
from mechscope.techniques._node_names import parse_node
from mechscope.techniques.circuits import Circuit, EdgeGraph
from mechscope.viz import circuit_graph
from tests.model.tiny import exact_model
from tests.techniques.tiny_task import tiny_task

GROUPED = {"n_heads": 6, "n_key_value_heads": 2}
SAYS = r"query head 4 reads key/value head 1, whose (keys|values) are 'a1\.h1<[kv]>' and shared by heads 3–5"


@pytest.mark.parametrize("site", ["k", "v"])
def test_results_by_key_value_head_say_who_reads_each(site: str, tmp_path) -> None:
    model, task = exact_model(seed=1, **GROUPED), tiny_task()
    for found in (
        patch(model, task, site, ("pos", "kv_head"), progress=False),
        attribution_patching(model, task, site, ("pos", "head"), progress=False),
    ):
        assert found.values.dims == ("layer", "pos", "kv_head")
        assert found.values.coords["query_heads"].values.tolist() == ["heads 0–2", "heads 3–5"]
        back = load_result(found.save(tmp_path / "r.safetensors"))
        assert back.values.identical(found.values)
    figure = patch(model, task, site, progress=False).figure()
    assert list(figure.layout.xaxis.ticktext) == ["0 (heads 0–2)", "1 (heads 3–5)"]
    assert figure.layout.xaxis.title.text == "key/value head"


def test_queries_and_models_without_groups_have_heads() -> None:
    model = exact_model(seed=1, **GROUPED)
    assert patch(model, tiny_task(), "q", progress=False).values.sizes["head"] == 6
    plain = patch(exact_model(seed=1), tiny_task(), "v", ("kv_head",), progress=False)
    assert plain.values.dims == ("layer", "head") and "query_heads" not in plain.values.coords


def test_there_is_one_copy_of_shared_values() -> None:
    model, task = exact_model(seed=2, **GROUPED), tiny_task(seed=2)
    found = patch(model, task, "v", normalize=False, progress=False).values
    with torch.no_grad():
        _, source = model.run_with_cache(task.clean)
        _, base = model.run_with_cache(task.corrupted)
        # By hand: each of the heads 3 to 5 reads the clean values of key/value head 1 through its own pattern.
        z = base["z", 1].clone()
        z[:, :, 3:] = torch.einsum("bhqk,bkd->bqhd", base["pattern", 1][:, 3:], source["v", 1][:, :, 1])

        def put(activation: torch.Tensor, hook: object) -> torch.Tensor:
            return z

        with model.hooks(fwd_hooks=[("blocks.1.attn.hook_z", put)]):
            expected = float(task.measure(task.logits(model, task.corrupted)).mean())
    assert float(found.sel(layer=1, kv_head=1)) == pytest.approx(expected, abs=1e-5)
    assert float(found.sel(layer=1, kv_head=1)) != pytest.approx(
        float(found.sel(layer=1, kv_head=0)), abs=1e-5
    )


@pytest.mark.parametrize("reads", ["k", "v"])
def test_an_input_named_by_its_query_head_is_explained(reads: str) -> None:
    model, task = exact_model(**GROUPED), tiny_task()
    name = f"a1.h4<{reads}>"
    for call in (
        lambda: parse_node(model, name),
        lambda: path_patching(model, task, "input", name, progress=False),
        lambda: Circuit.from_edges(EdgeGraph.of(model), [f"input->{name}"]),
    ):
        with pytest.raises(KeyError, match=SAYS):
            call()
    assert str(parse_node(model, f"a1.h1<{reads}>")) == f"a1.h1<{reads}>"
    with pytest.raises(KeyError, match="2 key/value heads"):
        parse_node(model, f"a1.h6<{reads}>")
    with pytest.raises(ValueError, match=r"query head 4 reads key/value head 1 \(of 2\): give head=1"):
        subspace_patching(model, task, torch.ones(8), 1, reads, head=4, progress=False)


def test_an_edit_of_shared_keys_counts_key_value_heads() -> None:
    model, task = exact_model(seed=1, **GROUPED), tiny_task(seed=1)
    sweep = Sweep(model, task.clean, task.answers.positions, progress=False)
    with pytest.raises(ValueError, match=r"key/value head 4 of 'blocks\.1\.attn\.hook_k' is outside 0 to 1"):
        sweep.run([Edit("blocks.1.attn.hook_k", value=0.0, head=4)], task.measure)


def test_paths_to_shared_inputs_say_who_reads_them() -> None:
    model, task = exact_model(seed=1, **GROUPED), tiny_task(seed=1)
    receivers = ["a1.h1<v>", "a1.h4<q>", "logits"]
    found = path_patching(model, task, "a0.h0", receivers, "receivers", progress=False).values
    assert found.coords["component"].values.tolist() == receivers
    assert found.coords["query_heads"].values.tolist() == ["heads 3–5", "", ""]
    every = path_patching_every_head(model, task, "a1.h1<v>", progress=False)
    assert "to a1.h1<v> (key/value head 1 of heads 3–5)" in every.title
    plain = path_patching_every_head(exact_model(seed=1), task, "a1.h1<v>", progress=False)
    assert "to a1.h1<v>," in plain.title


def test_the_title_of_a_subspace_says_which_heads_read_it() -> None:
    model, task = exact_model(seed=1, **GROUPED), tiny_task(seed=1)
    direction = torch.eye(model.cfg.d_head)[0]
    found = subspace_patching(model, task, direction, 1, "v", head=1, n_random=2, progress=False)
    assert "key/value head 1 of heads 3–5" in found.effects.title


def test_a_circuit_draws_shared_inputs_apart_from_query_heads() -> None:
    graph = EdgeGraph(n_layers=2, n_heads=6, n_kv_heads=2, attn_only=True)
    edges = ["input->a1.h1<k>", "input->a1.h1<q>", "input->a1.h4<q>", "a1.h1->logits", "a1.h4->logits"]
    figure = Circuit.from_edges(graph, edges).figure()
    at = {note.text: (note.x, note.y) for note in figure.layout.annotations}
    assert set(at) == {"input", "logits", "a1.h1", "a1.h4", "a1 k/v 1<br>heads 3–5"}
    shared = at["a1 k/v 1<br>heads 3–5"]
    assert shared[1] < at["a1.h4"][1]
    # The edge into keys ends below the shared box, and only head 4 of the two heads is connected with it.
    keys = next(
        trace
        for trace in figure.data
        if trace.mode == "lines" and trace.line.dash == "dot" and trace.x[0] is not None
    )
    assert keys.x[-2] == pytest.approx(shared[0])
    sharing = next(trace for trace in figure.data if trace.name == "keys and values read by")
    assert int(np.isnan(sharing.x).sum()) == 1
    assert sharing.x[-2] == pytest.approx(at["a1.h4"][0])


def test_without_groups_nothing_changes() -> None:
    edges = ["input->a1.h1<k>", "a1.h1->logits"]
    plain = circuit_graph(edges, title="T")
    assert plain == circuit_graph(edges, title="T", n_heads=6, n_kv_heads=6)
    assert {note.text for note in plain.layout.annotations} == {"input", "a1.h1", "logits"}
