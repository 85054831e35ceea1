"""Estimates of edges: the small-step limit of patching them, and sums that must come out."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mechscope.techniques.circuits.eap import edge_attribution_patching
from mechscope.techniques.circuits.eap_ig import eap_ig_activations, eap_ig_inputs
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun
from tests.model.tiny import VARIANTS, exact_model
from tests.techniques.circuits.naive import random_task


def double(variant: str, seed: int, **overrides: object):
    """A tiny model in float64, so that small steps are not lost in rounding."""
    return exact_model(variant, seed, **overrides)


def sign(run: MaskedRun) -> float:
    return 1.0 if run.baselines.difference > 0 else -1.0


@pytest.mark.parametrize("variant", VARIANTS)
def test_eap_is_patching_in_the_small_step_limit(variant: str) -> None:
    seed = sum(map(ord, variant)) % 97
    model = double(variant, seed)
    task = random_task(batch=3, length=6, seed=seed, padded=seed % 2 == 1)
    scores = edge_attribution_patching(model, task, progress=False)
    run = MaskedRun(model, task)
    graph = run.graph
    assert torch.equal(scores.isnan(), ~graph.valid)
    edges = graph.valid.nonzero()
    chosen = edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))[:30]]
    step = 1e-5
    circuits = graph.valid.double().repeat(len(chosen) + 1, 1, 1)
    circuits[torch.arange(len(chosen)), chosen[:, 0], chosen[:, 1]] = 1 - step
    values = run.measure(circuits).mean(1)
    expected = (values[-1] - values[:-1]) / step * sign(run)
    ours = scores[chosen[:, 0], chosen[:, 1]].double()
    assert float(expected.abs().max()) > 1e-3
    assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_positive_means_that_the_edge_helps() -> None:
    # Without MLPs and norms the edges into the logits act alone and linearly: the estimate is the truth.
    model = double("attention only", 3, normalization_type=None)
    task = random_task(seed=3)
    scores = edge_attribution_patching(model, task, progress=False)
    run = MaskedRun(model, task)
    circuits = run.graph.valid.repeat(len(run.graph.sources), 1, 1)
    for row in range(len(run.graph.sources)):
        circuits[row, row, -1] = False
    lost = (run.baselines.clean.mean() - run.measure(circuits).mean(1)) * sign(run)
    assert torch.allclose(scores[:, -1].double(), lost, atol=1e-5)
    assert float(lost.abs().max()) > 0.01


@pytest.mark.parametrize(
    "variant", ["plain", "grouped", "parallel", "norms after", "shortformer", "attention only"]
)
@pytest.mark.parametrize("metric", ["logit_difference", "kl_divergence"])
def test_ig_over_activations_adds_up_to_patching_the_node(variant: str, metric: str) -> None:
    model, task = double(variant, 5), random_task(batch=2, length=5, seed=5, metric=metric)
    run = MaskedRun(model, task)
    steps = 30
    scores = eap_ig_activations(model, task, steps=steps, progress=False).double()
    circuits = run.graph.valid.repeat(len(run.graph.sources), 1, 1)
    for row in range(len(run.graph.sources)):
        circuits[row, row] = False
    lost = (run.baselines.clean.mean() - run.measure(circuits).mean(1)) * sign(run)
    # The sum over steps takes the right end of each piece of the way, so it is off by about 1/steps.
    assert torch.allclose(scores.nansum(1), lost, atol=0.1 * float(lost.abs().max()))


@pytest.mark.parametrize("variant", ["plain", "norms after"])
def test_ig_over_inputs_adds_up_to_the_whole_difference(variant: str) -> None:
    model, task = double(variant, 6), random_task(batch=2, length=5, seed=6, metric="kl_divergence")
    scores = eap_ig_inputs(model, task, steps=80, progress=False)
    whole = abs(task.baselines(model).difference)
    assert float(scores[0].nansum()) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("variant", ["plain", "grouped", "parallel", "norms after"])
def test_one_step_is_eap(variant: str) -> None:
    model, task = double(variant, 7), random_task(seed=7, padded=True)
    plain = edge_attribution_patching(model, task, progress=False)
    for method in (eap_ig_inputs, eap_ig_activations):
        assert torch.allclose(method(model, task, steps=1, progress=False), plain, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("method", [edge_attribution_patching, eap_ig_inputs, eap_ig_activations])
def test_memory_and_joint_inputs_change_only_the_sums(method) -> None:
    model, task = exact_model("plain", 8), random_task(batch=3, seed=8)
    whole = method(model, task, progress=False)
    assert torch.allclose(method(model, task, memory=1, progress=False), whole, atol=1e-5, equal_nan=True)
    joint = EdgeGraph.of(model, qkv=False)
    together = method(model, task, joint, progress=False)
    column = EdgeGraph.of(model).destination_index
    parts = sum(whole[:, column[f"a1.h2<{which}>"]] for which in "qkv")
    assert torch.allclose(together[:, joint.destination_index["a1.h2"]], parts, atol=1e-5, equal_nan=True)


def test_bad_input() -> None:
    model, task = exact_model("plain"), random_task()
    with pytest.raises(ValueError, match="its gradient is zero"):
        edge_attribution_patching(model, task.with_metric("kl_divergence"), progress=False)
    with pytest.raises(ValueError, match=r"no gradient|score alike"):
        eap_ig_inputs(model, task.with_metric("preference"), progress=False)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        eap_ig_inputs(model, task, steps=0)
    vector = dataclasses.replace(task.metric, function=lambda logits, answers, reference: logits)
    with pytest.raises(ValueError, match="one number per example"):
        edge_attribution_patching(model, dataclasses.replace(task, metric=vector))
    broken = exact_model("plain")
    with torch.no_grad():
        broken.W_E[:] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        edge_attribution_patching(broken, task)
