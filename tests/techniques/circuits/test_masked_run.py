"""A masked run is what hooks that patch edge by edge give, in every kind of model."""

from __future__ import annotations

import pytest
import torch

from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun
from tests.model.tiny import VARIANTS, close, exact_model
from tests.techniques.circuits.naive import naive_logits, random_edges, random_task


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_naive_patching_of_every_edge(variant: str) -> None:
    seed = sum(map(ord, variant))
    model = exact_model(variant, seed)
    task = random_task(seed=seed, padded=seed % 2 == 0)
    graph = EdgeGraph.of(model)
    circuits = torch.stack(
        [random_edges(graph, share, seed + index) for index, share in enumerate((0.1, 0.5, 0.9))]
    )
    logits = MaskedRun(model, task).logits(circuits)
    for circuit, ours in zip(circuits, logits, strict=True):
        assert close(ours, naive_logits(model, task, circuit), 2e-4)


@pytest.mark.parametrize(
    "variant", ["plain", "norms after", "norms before and after", "parallel", "attention only"]
)
@pytest.mark.parametrize("patch", ["zero", "mean"])
def test_zero_and_mean_patches(variant: str, patch: str) -> None:
    model, task = exact_model(variant, 1), random_task(seed=1)
    circuits = torch.stack([random_edges(EdgeGraph.of(model), share, 3) for share in (0.3, 0.8)])
    for circuit, ours in zip(circuits, MaskedRun(model, task, patch=patch).logits(circuits), strict=True):  # type: ignore[arg-type]
        assert close(ours, naive_logits(model, task, circuit, patch), 2e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_edges_are_the_model_and_none_the_corrupted_run(variant: str) -> None:
    model, task = exact_model(variant, 2), random_task(seed=2, padded=True)
    run = MaskedRun(model, task)
    full, empty = run.logits(torch.stack([run.graph.valid, torch.zeros_like(run.graph.valid)]))
    assert close(full, task.logits(model, task.clean).detach(), 2e-5)
    assert close(empty, task.logits(model, task.corrupted).detach(), 2e-5)
    assert not close(full, empty, 1e-2)


@pytest.mark.parametrize("variant", ["norms after", "norms before and after", "Gemma-like", "plain"])
def test_a_head_that_nothing_reads_still_moves_a_norm_over_all_heads(variant: str) -> None:
    model, task = exact_model(variant, 3), random_task(seed=3)
    graph = EdgeGraph.of(model)
    live = graph.mask(["input->a1.h0<q>", "input->a1.h0<v>", "a1.h0->logits"])
    unread = graph.mask([*graph.edge_names(live), "input->a0.h2<q>", "a0.h2->a1.h3<q>"])
    for circuit, ours in zip(
        (live, unread), MaskedRun(model, task).logits(torch.stack([live, unread])), strict=True
    ):
        assert close(ours, naive_logits(model, task, circuit), 2e-4)


def test_holding_a_circuit_changes_no_result() -> None:
    model, task = exact_model("plain", 4, n_layers=3), random_task(seed=4)
    graph = EdgeGraph.of(model)
    base = random_edges(graph, 0.6, 5)
    circuits = torch.stack([base] * len(graph.stages))
    for number, stage in enumerate(graph.stages):
        circuits[number, 0, stage.destinations.start] ^= True
    plain = MaskedRun(model, task).measure(circuits)
    held = MaskedRun(model, task)
    held.hold(random_edges(graph, 0.3, 6))
    held.hold(base)
    assert held._first_stage(held._weights(circuits)).tolist() == list(range(len(graph.stages)))
    assert torch.allclose(held.measure(circuits), plain, atol=1e-5)


@pytest.mark.parametrize("memory", [200_000, 60_000, 1])
def test_little_memory_changes_no_result(memory: int) -> None:
    model, task = exact_model("plain", 4), random_task(batch=5, seed=4, metric="kl_divergence")
    circuits = torch.stack([random_edges(EdgeGraph.of(model), share, 3) for share in (0.3, 0.5, 0.8)])
    run = MaskedRun(model, task, memory=memory)
    assert torch.allclose(run.measure(circuits), MaskedRun(model, task).measure(circuits), atol=1e-5)
    run.hold(circuits[0])
    assert torch.allclose(run.measure(circuits), MaskedRun(model, task).measure(circuits), atol=1e-5)


@pytest.mark.parametrize("metric", ["logit_difference", "logit", "probability", "kl_divergence", "accuracy"])
def test_metrics_are_the_tasks(metric: str) -> None:
    model, task = exact_model("plain", 5), random_task(seed=5, metric=metric)
    run = MaskedRun(model, task)
    circuits = random_edges(run.graph, 0.5, 1)[None]
    expected = task.measure(run.logits(circuits)[0], task.logits(model, task.clean).detach())
    assert torch.allclose(run.measure(circuits)[0], expected, atol=1e-5)


def test_heads_with_one_input_patch_all_three() -> None:
    model, task = exact_model("plain", 6), random_task(seed=6)
    graph = EdgeGraph.of(model, qkv=False)
    circuit = random_edges(graph, 0.5, 2)
    split = circuit[:, graph.column_of]
    assert torch.equal(
        MaskedRun(model, task, graph).logits(circuit[None]), MaskedRun(model, task).logits(split[None])
    )


def test_bad_input_is_told_before_running() -> None:
    model, task = exact_model("plain"), random_task()
    run = MaskedRun(model, task)
    with pytest.raises(ValueError, match="patch must be one of"):
        MaskedRun(model, task, patch="noise")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="circuits must have shape"):
        run.measure(run.graph.valid)
    with pytest.raises(ValueError, match="list of circuits is empty"):
        run.measure(run.graph.valid[None][:0])
    with pytest.raises(ValueError, match=r"a1.h3->a0.h0<q>, which does not exist"):
        wrong = run.graph.valid[None].clone()
        wrong[0, run.graph.source_index["a1.h3"], 0] = True
        run.measure(wrong)
