"""Sets of components in planted models: the true circuit passes, planted mistakes fail where they should."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mechscope import planted
from mechscope.tasks import repeated_random_tokens
from mechscope.tasks.metrics import METRICS
from mechscope.techniques.redteam import Heads, redteam
from mechscope.techniques.redteam._component_patches import ComponentPatches
from tests.techniques.redteam.models import marker_task, next_word_task, two_jobs

MATCHED = "beats layer-matched components"
NEEDED = ("needed (corrupted values)", "needed (mean)", "needed (resampled)")


def hidden(name: str, seed: int) -> Any:
    return planted.load(name, noise=0.01, rotate=True, extra_heads=3, seed=seed)


def true_heads(one: Any) -> list[str]:
    return [f"a{layer}.h{head}" for layer, head in one.true_heads]


def verdicts(evidence: Any) -> dict[str, str]:
    return {check.name: check.verdict for check in evidence.checks}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["induction", "ioi"])
def test_the_true_circuit_passes_every_check(name: str, seed: int) -> None:
    one = hidden(name, seed)
    task = one.task(48, seed=seed)
    evidence = redteam(
        one.model,
        task,
        Heads(true_heads(one)),
        other_models=[hidden(name, seed + 10).model],
        seed=seed,
        progress=False,
    )
    found = verdicts(evidence)
    assert found.pop("specific to this task") == "not run"
    assert set(found.values()) == {"supports"}, evidence.to_markdown()
    assert (
        "specific to this task" in evidence.cheapest_falsifier
        and "other_tasks" in evidence.cheapest_falsifier
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_heads_fail(seed: int) -> None:
    one = hidden("induction", seed)
    true = true_heads(one)
    wrong = [
        next(f"a{layer}.h{head}" for head in range(4) if f"a{layer}.h{head}" not in true) for layer in (0, 1)
    ]
    evidence = redteam(one.model, one.task(48, seed=seed), Heads(wrong), seed=seed, n_null=19, progress=False)
    found = verdicts(evidence)
    for name in (*NEEDED, "enough", MATCHED, "beats random components"):
        assert found[name] == "undermines", name
    # The pair keeps nothing, so leaving out one of it cannot cost anything.
    assert found["every member is needed"] == "inconclusive"
    assert found["something to explain"] == "supports"
    # The sets without the claimed heads hold the true ones among them.
    assert evidence[MATCHED].null_high is not None and evidence[MATCHED].null_high > 0.5
    assert all(head in evidence[MATCHED].reason for head in true)


@pytest.mark.parametrize("seed", [0, 1])
def test_half_a_circuit_is_needed_and_not_enough(seed: int) -> None:
    one = hidden("induction", seed)
    evidence = redteam(
        one.model, one.task(48, seed=seed), Heads(true_heads(one)[1:]), seed=seed, n_null=19, progress=False
    )
    found = verdicts(evidence)
    assert found["needed (corrupted values)"] == "supports" and found["enough"] == "undermines"
    assert found["every member is needed"] == "not run"


@pytest.mark.parametrize("seed", [0, 1])
def test_a_passenger_is_found(seed: int) -> None:
    one = hidden("induction", seed)
    true = true_heads(one)
    passenger = next(name for name in ("a1.h0", "a1.h1") if name not in true)
    evidence = redteam(
        one.model, one.task(48, seed=seed), Heads([*true, passenger]), seed=seed, n_null=19, progress=False
    )
    assert [check.name for check in evidence.with_verdict("undermines")] == ["every member is needed"]
    assert passenger in evidence["every member is needed"].reason
    assert evidence["every member is needed"].details["members"][true[0]]["left out of the kept set"] > 0.3


def test_a_backup_is_found() -> None:
    """Three heads do the same; an answer survives the loss of one, so each alone seems to do nothing."""
    one = planted.load("induction", extra_heads=3)
    (_, _), (layer, head) = one.true_heads
    attention = one.model.blocks[layer].attn
    copies = [other for other in range(4) if other != head][:2]
    with torch.no_grad():
        for name, parameter in attention.named_parameters():
            if name != "b_O" and parameter.ndim > 1:
                for copy in copies:
                    parameter[copy] = parameter[head]
    task = one.task(48).with_metric("preference")
    evidence = redteam(one.model, task, Heads([f"a{layer}.h{head}"]), n_null=19, progress=False)
    found = verdicts(evidence)
    assert found["no backup takes over"] == found["needed (corrupted values)"] == "undermines"
    assert any(f"a{layer}.h{copy}" in evidence["no backup takes over"].reason for copy in copies)


@pytest.mark.parametrize("seed", [0, 1])
def test_specific_to_a_task_or_not(seed: int) -> None:
    model, task, other = two_jobs(), marker_task(32, seed), next_word_task(32, seed)
    specific = redteam(
        model, task, Heads(["a0.h0"]), other_tasks=[other], seed=seed, n_null=19, progress=False
    )
    assert verdicts(specific)["specific to this task"] == "supports"
    again = dataclasses.replace(marker_task(32, seed + 20), name="marker once more")
    both = redteam(
        model, task, Heads(["a0.h0"]), other_tasks=[other, again], seed=seed, n_null=19, progress=False
    )
    assert verdicts(both)["specific to this task"] == "undermines"
    assert "marker once more" in both["specific to this task"].reason


def test_other_models_that_do_it_otherwise_or_not_at_all() -> None:
    model, spread, silent = two_jobs(), two_jobs(), two_jobs()
    with torch.no_grad():
        silent.blocks[0].attn.W_O.zero_()
        attention = spread.blocks[0].attn
        attention.W_O[0] /= 2  # two heads do half of the work each
        attention.W_V[1], attention.W_O[1] = attention.W_V[0].clone(), attention.W_O[0].clone()
    task = marker_task(32, 0)

    def check(*others: Any) -> Any:
        found = redteam(model, task, Heads(["a0.h0"]), other_models=others, n_null=19, progress=False)
        return found["holds in other models"]

    assert check(two_jobs()).verdict == "supports"
    assert check(two_jobs(), spread).verdict == "undermines" and check(spread).measured == pytest.approx(0.5)
    assert check(silent).verdict == "inconclusive"
    assert (
        check(two_jobs(), silent).verdict == "supports" and "behaviour: 1" in check(two_jobs(), silent).reason
    )


def test_numbers_equal_hooks_by_hand() -> None:
    one = hidden("induction", 3)
    task, model = one.task(16, seed=3), one.model
    node = true_heads(one)[1]
    layer, head = int(node[1]), int(node[-1])
    hook = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        _, cache = model.run_with_cache(task.corrupted, names_filter=hook)

        def put(z: torch.Tensor, hook: Any) -> None:
            z[:, :, head] = cache[hook.name][:, :, head]

        clean = float(task.measure(task.logits(model, task.clean)).mean())
        corrupted = float(task.measure(task.logits(model, task.corrupted)).mean())
        with model.hooks(fwd_hooks=[(hook, put)]):
            patched = float(task.measure(task.logits(model, task.clean)).mean())
    evidence = redteam(model, task, Heads([node]), n_null=19, progress=False)
    check = evidence["needed (corrupted values)"]
    assert check.measured == pytest.approx((patched - clean) / (corrupted - clean), abs=1e-5)
    assert check.low is not None and check.high is not None and check.low <= check.measured <= check.high


def test_other_sets_are_disjoint_matched_and_complete() -> None:
    one = hidden("ioi", 0)
    patches = ComponentPatches(one.model, one.task(8), {"head"}, progress=False)
    claimed = tuple(patches.everything[number] for number in (0, 4, 5))
    matched, complete = patches.others(claimed, True, 100, 0)
    assert complete and len(matched) == 3 * 1 and len(set(map(frozenset, matched))) == 3
    for nodes in matched:
        assert not set(nodes) & set(claimed)
        assert sorted(node.layer for node in nodes) == [0, 1, 1]
    drawn, complete = patches.others(claimed, False, 20, 0)
    assert not complete and len(set(map(frozenset, drawn))) == 20
    assert drawn == patches.others(claimed, False, 20, 0)[0] != patches.others(claimed, False, 20, 1)[0]


def test_mlps_are_components_too() -> None:
    one = (
        planted.load("histogram", seed=0)
        if "histogram" in planted.PROGRAMS
        else planted.load("parity", seed=0)
    )
    nodes = [name for name in one.notes if name[0] in "am"]
    assert any(name.startswith("m") for name in nodes)
    evidence = redteam(one.model, one.task(32), Heads(nodes), n_null=19, progress=False)
    assert verdicts(evidence)["enough"] == "supports" == verdicts(evidence)["needed (corrupted values)"]


@pytest.mark.parametrize(
    ("nodes", "error", "words"),
    [
        ([], ValueError, "at least one"),
        ("a0.h0", ValueError, "list of names"),
        (["a0.h0", "a0.h0"], ValueError, "twice"),
        (["a9.h0"], KeyError, "a9.h0"),
        (["logits"], ValueError, "belong to every"),
        (["a0.h0<q>"], ValueError, "whole head"),
    ],
)
def test_names_that_are_none(nodes: Any, error: type[Exception], words: str) -> None:
    one = planted.load("induction")
    with pytest.raises(error, match=words):
        redteam(one.model, one.task(8), Heads(nodes), n_null=19, progress=False)


def test_nothing_to_explain_is_an_error() -> None:
    one = planted.load("induction")
    task = one.task(8)
    with pytest.raises(ValueError, match="identical"):
        dataclasses.replace(task, corrupted=task.clean)
    same = dataclasses.replace(
        task, metric=dataclasses.replace(METRICS["logit"], function=lambda *_: torch.ones(8))
    )
    with pytest.raises(ValueError, match="score alike"):
        redteam(one.model, same, Heads(["a0.h0"]), n_null=19, progress=False)


def test_all_heads_of_the_bundled_model() -> None:
    import mechscope as ms

    model = ms.load_model("induction-2l")
    task = repeated_random_tokens(model, 32, seed=2, bos=128)
    evidence = redteam(
        model, task, Heads([f"a{layer}.h{head}" for layer in range(2) for head in range(4)]), progress=False
    )
    assert not evidence.falsified
    # Nothing is left to compare with, and no one is told to try it.
    assert verdicts(evidence)[MATCHED] == "not run" and MATCHED not in evidence.cheapest_falsifier
