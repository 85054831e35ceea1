"""Activation patching against whole runs with one hook, over models, sites, metrics and both directions."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch

from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.metrics import METRICS, Metric
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import KINDS, patch
from tests.model.tiny import exact_model
from tests.techniques.tiny_task import tiny_task


def metric_of(model: HookedTransformer, task: Task, tokens: torch.Tensor, hooks: Any = ()) -> float:
    """The task's metric from a whole run, every logit computed."""
    with torch.no_grad():
        clean = task.at_answers(model(task.clean))
        logits = task.at_answers(model.run_with_hooks(tokens, fwd_hooks=list(hooks)))
        return float(task.metric(logits, task.answers, clean).mean())


def effect_by_hand(
    model: HookedTransformer, task: Task, hook_name: str, index: tuple[Any, ...], direction: str
) -> float:
    base, other = (task.corrupted, task.clean) if direction == "denoise" else (task.clean, task.corrupted)
    source = model.run_with_cache(other, names_filter=hook_name)[1][hook_name]

    def put_in(activation: torch.Tensor, hook: Any) -> None:
        activation[index] = source[index]

    before, after = metric_of(model, task, base), metric_of(model, task, other)
    return (metric_of(model, task, base, [(hook_name, put_in)]) - before) / (after - before)


@pytest.mark.parametrize(
    "variant", ["plain", "grouped", "rotary", "parallel", "norms before and after", "window"]
)
@pytest.mark.parametrize("site", KINDS)
def test_every_site_is_the_loop_by_hand(site: str, variant: str) -> None:
    seed = sum(map(ord, site + variant))
    model = exact_model(variant, seed)
    if get_act_name(site, 0) not in model.hook_dict:
        with pytest.raises(KeyError):
            patch(model, tiny_task(seed=seed), site, progress=False)
        return
    direction = ("denoise", "noise")[seed % 2]
    task = tiny_task(seed=seed, metric=("logit_difference", "log_probability", "kl_divergence")[seed % 3])
    by = KINDS[site].dims if site != "post" else ("pos", "d_mlp")
    some = {"neurons": [0, 7, 39]} if site == "post" else {}
    found = patch(model, task, site, by, direction=direction, progress=False, **some)  # type: ignore[arg-type]
    heads = "kv_head" if variant == "grouped" and site in ("k", "v") else "head"
    assert found.values.dims == ("layer", *(heads if dim == "head" else dim for dim in by))
    axes = [range(size) if dim != "d_mlp" else some["neurons"] for dim, size in found.values.sizes.items()]
    places = list(itertools.product(*axes))
    for place in random.Random(seed).sample(places, min(8, len(places))):
        layer, where = place[0], dict(zip(by, place[1:], strict=True))
        if site == "pattern":
            index: tuple[Any, ...] = (slice(None), where["head"], where["query"], where["key"])
        elif site == "post":
            index = (slice(None), where["pos"], where["d_mlp"])
        else:
            index = (slice(None), where["pos"], *([where["head"]] if "head" in where else []))
        expected = effect_by_hand(model, task, get_act_name(site, layer), index, direction)
        labels = {
            name: found.values.coords[name].values[i]
            for dim, i in zip(by, place[1:], strict=True)
            if (name := heads if dim == "head" else dim) != "d_mlp"
        }
        cell = found.values.sel(
            layer=layer, **labels, **({"d_mlp": where["d_mlp"]} if site == "post" else {})
        )
        assert float(cell) == pytest.approx(expected, abs=2e-4)


def test_patching_everything_moves_the_whole_effect() -> None:
    for seed in range(3):
        model, task = exact_model("rotary", seed), tiny_task(seed=seed)
        whole = patch(model, task, "resid_pre", by=(), layers=[0], progress=False)
        assert float(whole.values[0]) == pytest.approx(1, abs=1e-4)
        assert whole.unit == "share of the effect"


def test_what_both_prompts_share_has_no_effect() -> None:
    found = patch(exact_model(), tiny_task(), "resid_pre", progress=False)
    # The first token is the same in both.
    assert float(found.values.isel(pos=0, layer=0)) == pytest.approx(0, abs=1e-12)
    assert float(abs(found.values.isel(pos=1, layer=0))) > 0


def test_prompts_of_different_shapes_are_told_apart_by_named_positions() -> None:
    model, task = exact_model(seed=4), tiny_task(seed=4, aligned=False, n_answers=2)
    assert not task.aligned
    found = patch(model, task, "resid_pre", progress=False)
    assert list(found.values.coords["pos"].values) == ["middle", "end"]
    rows = torch.arange(task.n_examples)
    for layer, name in itertools.product(range(2), task.positions):
        expected = effect_by_hand(
            model, task, get_act_name("resid_pre", layer), (rows, task.positions[name]), "denoise"
        )
        assert float(found.values.sel(layer=layer, pos=name)) == pytest.approx(expected, abs=2e-4)


def test_raw_values_are_the_metric() -> None:
    model, task = exact_model(), tiny_task()
    raw = patch(model, task, "mlp_out", by=(), normalize=False, progress=False)
    assert raw.unit == "logits"
    shares = patch(model, task, "mlp_out", by=(), progress=False)
    base = task.baselines(model)
    expected = float(base.corrupted.mean()) + shares.values * base.difference
    assert raw.values.values == pytest.approx(expected.values, abs=1e-4)


def test_it_shows_saves_and_loads_itself(tmp_path: Any) -> None:
    from mechscope.results import load_result

    found = patch(exact_model(), tiny_task(), "z", progress=False)
    assert "head output" in found.figure().layout.title.text
    again = load_result(found.save(tmp_path / "effect.safetensors"))
    assert again.values.equals(found.values)
    assert found.values.to_dataframe("effect").shape == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"site": "rezid"}, KeyError, "resid_pre"),
        ({"site": "resid_pre", "by": ("head",)}, ValueError, "separated by pos"),
        ({"site": "z", "layers": []}, ValueError, "no layers"),
        ({"site": "z", "layers": [5]}, ValueError, "no layer 5"),
        ({"site": "post", "neurons": [40]}, ValueError, "0 to 39"),
        ({"site": "z", "direction": "sideways"}, ValueError, "denoise"),
        ({"site": "z", "memory": 0}, ValueError, "memory budget"),
    ],
)
def test_misuse(arguments: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        patch(exact_model(), tiny_task(), progress=False, **arguments)


def test_a_task_that_explains_nothing_is_refused() -> None:
    model, task = exact_model(), tiny_task()
    with pytest.raises(ValueError, match="identical"):
        Task("same", task.clean, task.clean, task.answers)
    with pytest.raises(ValueError, match="same number of tokens"):
        Task("short", task.clean, task.corrupted[:, :-1], task.answers)
    constant = Metric("constant", "logits", lambda logits, answers, reference: logits[:, 0, 0] * 0 + 2)
    with pytest.raises(ValueError, match="score alike"):
        patch(model, task.with_metric(constant), "z", progress=False)
    vector = Metric("vector", "logits", lambda logits, answers, reference: logits[:, :, 0].mT)
    with pytest.raises(ValueError, match="one number per example"):
        patch(model, task.with_metric(vector), "z", progress=False)
    missing = Metric("nan", "logits", lambda logits, answers, reference: logits[:, 0, 0] * torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        patch(model, task.with_metric(missing), "z", progress=False)
    with pytest.raises(KeyError, match="logit_difference"):
        task.with_metric("logit_diff")
    assert set(METRICS) >= {"logit_difference", "kl_divergence", "probability", "accuracy"}
