"""ACDC is the sequential search, whatever it shares between tests."""

from __future__ import annotations

import pytest
import torch

from mechscope.techniques.circuits.acdc import acdc
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun
from tests.model.tiny import exact_model
from tests.techniques.circuits.naive import naive_logits, random_task


def sequential(model, task, tau: float, rule: str) -> tuple[torch.Tensor, int]:
    """Edge after edge, each by a full run with hooks; the logits of every run from patching one edge at a time."""
    graph = EdgeGraph.of(model)
    baselines, clean = task.baselines(model), task.logits(model, task.clean).detach()

    def metric(kept: torch.Tensor) -> float:
        return float(task.measure(naive_logits(model, task, kept), clean).double().mean())

    kept = graph.valid.clone()
    present, removed = metric(kept), 0
    for column in reversed(range(len(graph.destinations))):
        for row in reversed(graph.valid[:, column].nonzero().flatten().tolist()):
            tested = kept.clone()
            tested[row, column] = False
            value = metric(tested)
            lost = (present - value) * (1 if baselines.difference >= 0 else -1)
            if (abs(lost) if rule == "change" else lost) < tau:
                kept, present, removed = tested, value, removed + 1
    return kept, removed


@pytest.mark.parametrize(
    ("variant", "metric", "tau", "rule"),
    [
        ("plain", "kl_divergence", 0.03, "change"),
        ("grouped", "logit_difference", 0.1, "change"),
        ("parallel", "kl_divergence", 0.02, "worsening"),
        ("norms after", "logit_difference", 0.01, "worsening"),
    ],
)
def test_equals_the_sequential_search(variant: str, metric: str, tau: float, rule: str) -> None:
    model = exact_model(variant, 11, n_heads=2, d_model=16)
    task = random_task(batch=2, length=4, seed=11, metric=metric)
    run = acdc(model, task, tau, rule=rule, progress=False)  # type: ignore[arg-type]
    kept, removed = sequential(model, task, tau, rule)
    assert torch.equal(run.kept, kept)
    assert 5 < removed < EdgeGraph.of(model).n_edges - 5
    assert torch.equal(run.effects.isnan(), ~EdgeGraph.of(model).valid)


@pytest.mark.parametrize("rule", ["change", "worsening"])
def test_at_threshold_0_everything_stays_and_effects_are_single_removals(rule: str) -> None:
    model, task = exact_model("attention only", 12), random_task(seed=12, metric="kl_divergence")
    found = acdc(model, task, 0.0, rule=rule, progress=False)  # type: ignore[arg-type]
    run = MaskedRun(model, task)
    assert torch.equal(found.kept, run.graph.valid)
    edges = run.graph.valid.nonzero()
    circuits = run.graph.valid.repeat(len(edges), 1, 1)
    circuits[torch.arange(len(edges)), edges[:, 0], edges[:, 1]] = False
    worse = run.measure(circuits).mean(1)
    assert torch.allclose(found.effects[edges[:, 0], edges[:, 1]].double(), worse, atol=1e-5)
    assert found.n_tests == len(edges)


def test_a_large_threshold_removes_everything_and_tests_only_what_is_heard() -> None:
    model, task = exact_model("plain", 13), random_task(seed=13)
    found = acdc(model, task, 1e6, progress=False)
    assert not found.kept.any()
    assert found.n_tests == len(
        EdgeGraph.of(model).sources
    )  # the edges into the logits, then nothing is heard


def test_bad_input() -> None:
    model, task = exact_model("plain"), random_task()
    for tau in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="at least 0"):
            acdc(model, task, tau)
    with pytest.raises(ValueError, match="rule must be"):
        acdc(model, task, 0.1, rule="best")  # type: ignore[arg-type]
