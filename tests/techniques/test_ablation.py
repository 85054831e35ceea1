"""Ablation against hooks written out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from mechscope.techniques._ablation_values import AblationValues
from mechscope.techniques.ablation import ablation, knock_out
from tests.model.tiny import exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task

LENGTH = 6


def ablate(model: HookedTransformer, task: Task, *args: Any, **options: Any) -> Any:
    return ablation(model, task, *args, **{"normalize": False, "progress": False, **options}).values


def by_hand(
    model: HookedTransformer, task: Task, spots: list[tuple[str, Any, torch.Tensor | float]]
) -> float:
    """The metric with values [batch pos ...] put in at (hook name, index after batch and pos, value)."""

    def put(index: Any, value: Any) -> Any:
        def hook(activation: torch.Tensor, hook: Any) -> None:
            activation[index] = value[index] if isinstance(value, torch.Tensor) else value

        return hook

    hooks = [(name, put(index, value)) for name, index, value in spots]
    with torch.no_grad(), model.hooks(fwd_hooks=hooks):
        return float(task.measure(task.logits(model, task.clean)).mean())


def reference_cache(model: HookedTransformer, tokens: torch.Tensor) -> Any:
    return model.run_with_cache(tokens)[1]


@pytest.mark.parametrize(
    "variant", ["plain", "grouped", "rotary", "parallel", "norms after", "bidirectional"]
)
def test_zero_and_mean(variant: str) -> None:
    model, task = exact_model(variant, 1), tiny_task(length=LENGTH, seed=1)
    cache = reference_cache(model, task.corrupted)
    zeros, means, mlps = (
        ablate(model, task, "heads", "zero"),
        ablate(model, task),
        ablate(model, task, "mlps"),
    )
    for layer in range(2):
        z = get_act_name("z", layer)
        mean = cache[z].mean((0, 1)).expand_as(cache[z])
        for head in range(4):
            index = (slice(None), slice(None), head)
            assert float(zeros[layer, head]) == pytest.approx(
                by_hand(model, task, [(z, index, 0.0)]), abs=1e-4
            )
            assert float(means[layer, head]) == pytest.approx(
                by_hand(model, task, [(z, index, mean)]), abs=1e-4
            )
        out = get_act_name("mlp_out", layer)
        mean = cache[out].mean((0, 1)).expand_as(cache[out])
        assert float(mlps[layer]) == pytest.approx(
            by_hand(model, task, [(out, (slice(None),), mean)]), abs=1e-4
        )


def test_neurons_positions_and_the_input() -> None:
    model, task = exact_model(seed=2), tiny_task(length=LENGTH, seed=2)
    cache = reference_cache(model, task.corrupted)
    neurons = ablate(model, task, "neurons", "mean", layers=[1])
    assert neurons.sizes == {"layer": 1, "d_mlp": 40} and int(neurons.coords["layer"][0]) == 1
    post = get_act_name("post", 1)
    mean = cache[post].mean((0, 1)).expand_as(cache[post])
    for index in (0, 39):
        expected = by_hand(model, task, [(post, (slice(None), slice(None), index), mean)])
        assert float(neurons[0, index]) == pytest.approx(expected, abs=1e-5)
    positions = ablate(model, task, "positions", "zero")
    assert positions.dims == ("layer", "pos")
    expected = by_hand(model, task, [(get_act_name("resid_pre", 1), (slice(None), 3), 0.0)])
    assert float(positions[1, 3]) == pytest.approx(expected, abs=1e-5)
    means = {
        name: cache[name].mean((0, 1)).expand_as(cache[name]) for name in ("hook_embed", "hook_pos_embed")
    }
    expected = by_hand(model, task, [(name, (slice(None),), value) for name, value in means.items()])
    assert float(ablate(model, task, ["input"], "mean")[0]) == pytest.approx(expected, abs=1e-5)
    named = ablate(model, task, ["m1.n39", "a0.h1", "m0"], "zero")
    assert list(named.coords["component"].values) == ["m1.n39", "a0.h1", "m0"]
    assert float(named[1]) == pytest.approx(float(ablate(model, task, "heads", "zero")[0, 1]), abs=1e-5)


def test_the_mean_leaves_padding_out_and_comes_from_where_it_is_said() -> None:
    model = exact_model(seed=3)
    task = dataclasses.replace(tiny_task(length=LENGTH, seed=3), lengths=torch.tensor([4, 6, 5]))
    task = dataclasses.replace(
        task, answers=dataclasses.replace(task.answers, positions=torch.tensor([[3], [5], [4]]))
    )
    z = get_act_name("z", 0)
    cache = reference_cache(model, task.corrupted)[z]
    rows = torch.cat([cache[row, :length] for row, length in enumerate((4, 6, 5))])
    index = (slice(None), slice(None), 2)
    expected = by_hand(model, task, [(z, index, rows.mean(0).expand_as(cache))])
    assert float(ablate(model, task, ["a0.h2"])[0]) == pytest.approx(expected, abs=1e-5)
    reference = tiny_tokens(5, 9, seed=9)
    elsewhere = reference_cache(model, reference)[z].mean((0, 1))
    expected = by_hand(model, task, [(z, index, elsewhere.expand_as(cache))])
    assert float(ablate(model, task, ["a0.h2"], reference=reference)[0]) == pytest.approx(expected, abs=1e-5)


def test_means_by_template_and_position() -> None:
    model = exact_model(seed=4)
    task = dataclasses.replace(
        tiny_task(batch=4, length=LENGTH, seed=4), templates=torch.tensor([0, 1, 0, 1])
    )
    z = get_act_name("z", 1)
    cache = reference_cache(model, task.corrupted)[z]
    mean = torch.stack([cache[[0, 2]].mean(0), cache[[1, 3]].mean(0)])[[0, 1, 0, 1]]
    expected = by_hand(model, task, [(z, (slice(None), slice(None), 0), mean)])
    assert float(ablate(model, task, ["a1.h0"], "template_mean")[0]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="templates"):
        ablate(model, task, ["a1.h0"], "template_mean", reference=task.corrupted)
    single = dataclasses.replace(task, templates=None)
    reference = tiny_tokens(7, LENGTH, seed=5)
    mean = reference_cache(model, reference)[z].mean(0).expand_as(cache)
    expected = by_hand(model, single, [(z, (slice(None), slice(None), 0), mean)])
    found = ablate(model, single, ["a1.h0"], "template_mean", reference=reference)
    assert float(found[0]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="position by position"):
        ablate(model, single, ["a1.h0"], "template_mean", reference=tiny_tokens(7, 9))


def test_resampling() -> None:
    model = exact_model(seed=5)
    task = dataclasses.replace(
        tiny_task(batch=5, length=LENGTH, seed=5), templates=torch.tensor([0, 1, 0, 1, 2])
    )
    found = ablate(model, task, "heads", "resample", draws=3, seed=7, keep_draws=True)
    assert found.dims == ("draw", "layer", "head")
    picks = AblationValues(model, task, "resample", draws=3, seed=7).picks
    z = get_act_name("z", 1)
    cache = reference_cache(model, task.corrupted)[z]
    for draw, pick in enumerate(picks):
        assert pick is not None
        assert bool((task.templates[pick] == task.templates).all()) and int(pick[4]) == 4
        expected = by_hand(model, task, [(z, (slice(None), slice(None), 3), cache[pick])])
        assert float(found[draw, 1, 3]) == pytest.approx(expected, abs=1e-5)
    mean = ablate(model, task, "heads", "resample", draws=3, seed=7)
    np.testing.assert_allclose(mean, found.mean("draw"), atol=1e-6)
    other = ablate(model, task, "heads", "resample", draws=3, seed=8)
    assert abs(mean - other).max() > 1e-4
    drawn = torch.stack(list(AblationValues(model, tiny_task(batch=5), "resample", draws=50).picks))
    assert all(len(drawn[:, example].unique()) == 5 for example in range(5))


def test_some_positions_only() -> None:
    model = exact_model(seed=6)
    where = torch.tensor([1, 4, 2])
    task = dataclasses.replace(tiny_task(length=LENGTH, seed=6), positions={"it": where})
    z = get_act_name("z", 0)
    spots = [(z, ([0, 1, 2], where, 1), 0.0), (z, (slice(None), 5, 1), 0.0)]
    found = ablate(model, task, ["a0.h1"], "zero", positions=["it", -1])
    assert float(found[0]) == pytest.approx(by_hand(model, task, spots), abs=1e-5)
    with pytest.raises(KeyError, match="no position called"):
        ablate(model, task, ["a0.h1"], positions="there")
    with pytest.raises(ValueError, match="outside"):
        ablate(model, task, ["a0.h1"], positions=6)


def test_sets_alone_and_together() -> None:
    model, task = exact_model(seed=7), tiny_task(length=LENGTH, seed=7)
    names = ["a0.h1", "a1.h2", "m0"]
    found = knock_out(model, task, names, "zero", normalize=False, progress=False)
    assert found.values.dims == ("series", "component") and found.figure() is not None
    alone, together = found.values.sel(series="alone"), found.values.sel(series="together")
    np.testing.assert_allclose(alone, ablate(model, task, names, "zero"), atol=1e-5)
    spots = [
        (get_act_name("z", 0), (slice(None), slice(None), 1), 0.0),
        (get_act_name("z", 1), (slice(None), slice(None), 2), 0.0),
        (get_act_name("mlp_out", 0), (slice(None),), 0.0),
    ]
    for count in range(3):
        expected = by_hand(model, task, spots[: count + 1])
        assert float(together[count]) == pytest.approx(expected, abs=1e-5)


def test_shares_of_the_effect() -> None:
    model, task = exact_model(seed=8), tiny_task(length=LENGTH, seed=8)
    raw, share = ablate(model, task, "heads"), ablation(model, task, "heads", progress=False)
    clean, corrupted = (
        float(scores.mean()) for scores in (task.baselines(model).clean, task.baselines(model).corrupted)
    )
    np.testing.assert_allclose(share.values, (raw - clean) / (corrupted - clean), atol=1e-4)
    assert share.unit == "share of the effect" and "corrupted prompts" in share.title
    assert share.figure() is not None


@pytest.mark.parametrize(
    ("components", "options", "error", "words"),
    [
        ([], {}, ValueError, "empty"),
        ("head", {}, KeyError, "components must be"),
        (["a0.h9"], {}, KeyError, "a0.h9"),
        (["a5.h0"], {}, KeyError, "2 layers"),
        (["m0.n99"], {}, KeyError, "40 neurons"),
        (["head 3"], {}, KeyError, "not the name of a part"),
        (["a0.h1", "a0.h1"], {}, ValueError, "twice"),
        (["logits"], {}, ValueError, "cannot be ablated"),
        (["a0.h1<q>"], {}, ValueError, "cannot be ablated"),
        (["a0.h1"], {"how": "none"}, ValueError, "how must be"),
        (["a0.h1"], {"layers": [0]}, ValueError, "their layer already"),
        ("heads", {"layers": [2]}, ValueError, "numbered 0 to 1"),
        ("positions", {"positions": 1}, ValueError, "every position"),
        ("heads", {"how": "resample", "draws": 0}, ValueError, "at least 1"),
        ("heads", {"reference": torch.tensor([[99]])}, ValueError, "out of range"),
    ],
)
def test_bad_input(components: Any, options: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        ablation(exact_model(), tiny_task(), components, progress=False, **options)


def test_attention_only_models_have_no_mlps() -> None:
    model, task = exact_model("attention only"), tiny_task()
    for components in ("mlps", "neurons"):
        with pytest.raises(ValueError, match="attention-only"):
            ablate(model, task, components)
    with pytest.raises(KeyError, match="attention-only"):
        ablate(model, task, ["m0"])
    with pytest.raises(ValueError, match="list of strings"):
        knock_out(model, task, "heads", progress=False)
