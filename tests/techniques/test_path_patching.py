"""Path patching against a naive version that freezes every part with hooks of its own."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.path_patching import path_patching, path_patching_every_head
from mechscope.techniques.sweep import TaskSweep
from tests.model.tiny import VARIANTS, exact_model
from tests.techniques.reading_tasks import tiny_task

LENGTH = 5


def naive(
    model: HookedTransformer, task: Task, senders: list[str], receivers: list[str], *, through_mlps: bool
) -> float:
    """Three whole runs: source; base with senders exchanged and all else frozen, keeping what receivers read;
    base with the receivers reading that. Denoising, receivers of one layer."""
    base, source = task.corrupted, task.clean
    with torch.no_grad():
        _, base_cache = model.run_with_cache(base)
        _, source_cache = model.run_with_cache(source)
        read: dict[str, torch.Tensor] = {}
        freeze: list[tuple[str, Any]] = []

        def put(value: torch.Tensor) -> Any:
            return lambda activation, hook: value.clone()

        if "input" in senders:
            freeze += [
                (name, put(source_cache[name]))
                for name in ("hook_embed", "hook_pos_embed")
                if name in base_cache
            ]
        for layer in range(model.cfg.n_layers):
            z = base_cache[get_act_name("z", layer)].clone()
            for head in range(model.cfg.n_heads):
                if f"a{layer}.h{head}" in senders:
                    z[:, :, head] = source_cache[get_act_name("z", layer)][:, :, head]
            freeze.append((get_act_name("z", layer), put(z)))
            if model.cfg.attn_only:
                continue
            out = get_act_name("mlp_out", layer)
            if f"m{layer}" in senders:
                freeze.append((out, put(source_cache[out])))
            elif not through_mlps:
                freeze.append((out, put(base_cache[out])))

        def keep(activation: torch.Tensor, hook: Any) -> None:
            read[hook.name] = activation.clone()

        points = {receiver: _point(model, receiver) for receiver in receivers}
        names = [name for name, _ in points.values()]
        shortcut = get_act_name("resid_post", model.cfg.n_layers - 1)
        with model.hooks(fwd_hooks=[*freeze, *((name, keep) for name in dict.fromkeys(names))]):
            task.logits(model, base)

        def exchange(head: int | None, name: str) -> Any:
            def hook(activation: torch.Tensor, hook: Any) -> None:
                where = (...,) if head is None else (slice(None), slice(None), head)
                activation[where] = read[name][where]

            return hook

        hooks = [(name, exchange(head, name)) for name, head in points.values()]
        assert shortcut in model.hook_dict
        with model.hooks(fwd_hooks=hooks):
            logits = task.logits(model, base)
        return float(task.measure(logits).mean())


def _point(model: HookedTransformer, receiver: str) -> tuple[str, int | None]:
    if receiver == "logits":
        return get_act_name("resid_post", model.cfg.n_layers - 1), None
    if receiver.startswith("m"):
        return get_act_name("mlp_in", int(receiver[1:])), None
    layer, head = receiver[1:-3].split(".h")
    return get_act_name(f"{receiver[-2]}_input", int(layer)), int(head)


def paths(model: HookedTransformer, task: Task, senders: Any, receivers: Any, **options: Any) -> Any:
    return path_patching(
        model, task, senders, receivers, **{"normalize": False, "progress": False, **options}
    ).values


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_equals_freezing_everything_by_hand(variant: str) -> None:
    seed = list(VARIANTS).index(variant)
    rng = random.Random(seed)
    model, task = (
        exact_model(variant, seed, n_layers=3, **_three(variant)),
        tiny_task(length=LENGTH, seed=seed),
    )
    early = ["input", "a0.h0", "a0.h3", "a1.h2"] + ([] if model.cfg.attn_only else ["m0"])
    receivers = [["a2.h0<q>"], ["a2.h0<k>", "a2.h0<v>"], ["logits"]] + (
        [] if model.cfg.attn_only else [["m2"]]
    )
    for group in receivers:
        senders = rng.sample(early, 2)
        through_mlps = rng.random() < 0.5
        found = paths(model, task, senders, group, through_mlps=through_mlps)
        expected = naive(model, task, senders, group, through_mlps=through_mlps)
        assert float(found[0]) == pytest.approx(expected, abs=1e-3), (senders, group, through_mlps)


def _three(variant: str) -> dict[str, Any]:
    types = VARIANTS[variant].get("attn_types")
    return {} if types is None else {"attn_types": [*types, types[0]]}


def test_mlps_between_make_a_difference_only_where_there_are_some() -> None:
    model, task = exact_model(seed=1, n_layers=3), tiny_task(length=LENGTH, seed=1)
    straight = paths(model, task, "a0.h1", "a2.h0<v>")
    assert (
        abs(float(straight[0]) - float(paths(model, task, "a0.h1", "a2.h0<v>", through_mlps=True)[0])) > 1e-3
    )
    into_first = [paths(model, task, "a0.h1", "m0", through_mlps=through)[0] for through in (False, True)]
    assert float(into_first[0]) == pytest.approx(float(into_first[1]), abs=1e-6)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_all_paths_of_the_input_are_the_whole_effect(direction: Any) -> None:
    """Exchange the input at every reader of the first layer and at the rest of the stream: nothing is left."""
    model, task = exact_model("attention only", 2, n_layers=1), tiny_task(length=LENGTH, seed=2)
    everything = [*(f"a0.h{head}" for head in range(4)), "logits"]
    found = path_patching(model, task, "input", everything, direction=direction, progress=False)
    assert float(found.values[0]) == pytest.approx(1, abs=1e-4)
    assert found.unit == "share of the effect" and found.figure() is not None


def test_a_head_into_all_that_reads_it_is_activation_patching() -> None:
    model, task = exact_model(seed=3), tiny_task(length=LENGTH, seed=3)
    readers = ["m0", *(f"a1.h{head}" for head in range(4)), "m1", "logits"]
    heads = patch(model, task, "head", normalize=False, progress=False).values
    for head in range(4):
        assert float(paths(model, task, f"a0.h{head}", readers)[0]) == pytest.approx(
            float(heads[0, head]), abs=1e-3
        )


def test_one_at_a_time_and_every_head() -> None:
    model, task = exact_model("parallel", 4), tiny_task(length=LENGTH, seed=4)
    senders, receivers = ["a0.h1", "m0"], ["a1.h0<q>", "a1.h3"]
    by_sender = paths(model, task, senders, receivers, separately="senders")
    assert list(by_sender.coords["component"].values) == senders
    for name in senders:
        assert float(by_sender.sel(component=name)) == pytest.approx(
            float(paths(model, task, name, receivers)[0])
        )
    by_receiver = paths(model, task, senders, receivers, separately="receivers")
    for name in receivers:
        assert float(by_receiver.sel(component=name)) == pytest.approx(
            float(paths(model, task, senders, name)[0])
        )
    grid = path_patching_every_head(model, task, receivers, normalize=False, progress=False)
    base = float(task.baselines(model).corrupted.mean())
    np.testing.assert_allclose(grid.values[1], [base] * 4, atol=1e-5)
    for head in range(4):
        expected = float(paths(model, task, f"a0.h{head}", receivers)[0])
        assert float(grid.values[0, head]) == pytest.approx(expected, abs=1e-5)
    shares = path_patching_every_head(model, task, "a0.h0<q>", progress=False).values
    assert abs(shares).max() == 0  # nothing is before layer 0


def test_positions() -> None:
    """A path from one position, by a hook on the final residual stream."""
    model = exact_model(seed=5)
    where = torch.tensor([4, 2, 4])
    task = dataclasses.replace(tiny_task(length=LENGTH, seed=5), positions={"it": where})
    z = get_act_name("z", 0)
    with torch.no_grad():
        caches = [
            model.run_with_cache(tokens, names_filter=z)[1][z] for tokens in (task.clean, task.corrupted)
        ]
        change = torch.einsum("bph,hd->bpd", (caches[0] - caches[1])[:, :, 1], model.W_O[0, 1])
        keep = torch.zeros(3, LENGTH, 1)
        keep[torch.arange(3), where] = 1

        with model.hooks(
            fwd_hooks=[(get_act_name("resid_post", 1), lambda resid, hook: resid + change * keep)]
        ):
            expected = float(task.measure(task.logits(model, task.corrupted)).mean())
    assert float(paths(model, task, "a0.h1", "logits", positions="it")[0]) == pytest.approx(
        expected, abs=1e-5
    )
    assert float(paths(model, task, "a0.h1", "logits", positions=["it", 0])[0]) == pytest.approx(
        expected, abs=1e-5
    )
    assert abs(float(paths(model, task, "a0.h1", "logits")[0]) - expected) > 1e-3


@pytest.mark.parametrize(
    ("senders", "receivers", "error", "words"),
    [
        ([], "logits", ValueError, "senders are"),
        ("a0.h1", [], ValueError, "empty"),
        ("logits", "logits", ValueError, "cannot send"),
        ("a0.h1<q>", "logits", ValueError, "cannot send"),
        ("a0.h1", "input", ValueError, "cannot receive"),
        ("a0.h1", "m1.n2", ValueError, "cannot receive"),
        ("a0.h7", "logits", KeyError, "a0.h7"),
        ("a1.h0", "a0.h1<q>", ValueError, "no direct path"),
        ("a1.h0", "a1.h1<q>", ValueError, "no direct path"),
        (["a0.h0", "a0.h0"], "logits", ValueError, "each once"),
        ("a0.h0", ["a1.h0", "a1.h0<q>"], ValueError, "named twice"),
    ],
)
def test_bad_input(senders: Any, receivers: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        paths(exact_model(), tiny_task(), senders, receivers)


def test_groups_and_parallel_blocks_have_their_own_rules() -> None:
    with pytest.raises(
        ValueError, match=r"shares its keys and values with the others of heads 2–3.*'a1.h1<k>'"
    ):
        paths(exact_model("grouped"), tiny_task(), "input", "a1.h3")
    with pytest.raises(
        KeyError,
        match="query head 3 reads key/value head 1, whose keys are 'a1.h1<k>' and shared by heads 2–3",
    ):
        paths(exact_model("grouped"), tiny_task(), "input", "a1.h3<k>")
    with pytest.raises(ValueError, match="no direct path"):
        paths(exact_model("parallel"), tiny_task(), "a1.h0", "m1")
    with pytest.raises(ValueError, match="separately"):
        paths(exact_model(), tiny_task(), "a0.h0", "logits", separately="both")


@pytest.mark.parametrize("through_mlps", [False, True])
def test_a_small_memory_budget_builds_few_changes_at_a_time(
    through_mlps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task = exact_model("plain", 6), tiny_task(length=LENGTH, seed=6)
    receivers = ["a1.h0<q>", "a1.h2<v>", "m1"]
    expected = path_patching_every_head(model, task, receivers, through_mlps=through_mlps, progress=False)
    sizes: list[int] = []
    run = TaskSweep.per_example

    def counted(self: TaskSweep, interventions: Any, description: str = "") -> Any:
        sizes.append(len(interventions))
        return run(self, interventions, description)

    monkeypatch.setattr(TaskSweep, "per_example", counted)
    each = task.n_examples * LENGTH * model.cfg.d_model * 8
    # Twice what two trials take; with MLPs recomputed, heads and MLP receive different changes.
    memory = 2 * 2 * each * (2 if through_mlps else 1)
    found = path_patching_every_head(
        model, task, receivers, through_mlps=through_mlps, memory=memory, progress=False
    )
    np.testing.assert_allclose(found.values, expected.values, atol=1e-9)
    assert len(sizes) > 1 and max(sizes) == 2
