"""Attribution patching against finite differences, and its repairs against real patching."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.attribution_patching import attribution_patching
from tests.model.tiny import VARIANTS, exact_model
from tests.techniques.reading_tasks import tiny_task

LENGTH = 6
BY = {
    "resid_pre": ("pos",),
    "resid_mid": ("pos",),
    "resid_post": ("pos",),
    "attn_out": ("pos",),
    "mlp_out": ("pos",),
    "z": ("pos", "head"),
    "q": ("pos", "head"),
    "k": ("pos", "head"),
    "v": ("pos", "head"),
    "pattern": ("head", "query", "key"),
    "post": ("pos", "d_mlp"),
}


def attribute(model: HookedTransformer, task: Task, sites: Any, by: Any = None, **options: Any) -> Any:
    return attribution_patching(model, task, sites, by, **{"normalize": False, "progress": False, **options})


def sites_of(model: HookedTransformer) -> list[str]:
    return [site for site in BY if get_act_name(site, 0) in model.hook_dict]


def mean_metric(
    model: HookedTransformer,
    task: Task,
    site: str,
    layer: int,
    where: dict[str, int],
    share: float,
    direction: str,
) -> float:
    """The metric of the base run with one place moved by a share of the way to the source."""
    base, source = (task.corrupted, task.clean) if direction == "denoise" else (task.clean, task.corrupted)
    name = get_act_name(site, layer)
    axes = {"pattern": ("head", "query", "key"), "post": ("pos", "d_mlp")}.get(
        site, ("pos", "head", "kv_head")
    )
    place = (slice(None), *(where[axis] for axis in axes if axis in where))
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        reference = task.logits(model, task.clean)

        def move(activation: torch.Tensor, hook: Any) -> None:
            activation[place] += share * (cache[name][place] - activation[place])

        with model.hooks(fwd_hooks=[(name, move)]):
            logits = task.logits(model, base)
        return float(task.measure(logits, reference).mean())


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_the_slope_of_a_small_step(variant: str) -> None:
    seed = list(VARIANTS).index(variant)
    rng = random.Random(seed)
    model = exact_model(variant, seed)
    task = tiny_task(length=LENGTH, seed=seed)
    direction = rng.choice(["denoise", "noise"])
    sites = sites_of(model)
    found = attribute(model, task, sites, BY, direction=direction)
    step = 1e-5
    for site in sites:
        values = found[site].values
        scale = max(float(abs(values).max()), 1e-3)
        place = {str(dim): rng.randrange(size) for dim, size in values.sizes.items()}
        if site == "pattern":  # only where a query may look
            place["key"] = rng.randrange(place["query"] + 1)
        layer = place["layer"]
        up, down = (mean_metric(model, task, site, layer, place, share, direction) for share in (step, -step))
        slope = (up - down) / (2 * step)
        assert abs(float(values.isel(place)) - slope) < 1e-5 * scale, (site, place)


@pytest.mark.parametrize("metric", ["kl_divergence", "log_probability", "probability_difference"])
def test_the_slope_of_other_metrics(metric: str) -> None:
    model = exact_model(seed=3)
    task = tiny_task(length=LENGTH, seed=3).with_metric(metric)
    found = attribute(model, task, "head", ("pos", "head")).values
    place = {"layer": 0, "pos": 4, "head": 1}
    up, down = (mean_metric(model, task, "z", 0, place, share, "denoise") for share in (1e-5, -1e-5))
    assert float(found.isel(place)) == pytest.approx((up - down) / 2e-5, rel=1e-4)


def test_it_is_exact_where_the_model_is_linear() -> None:
    """Without norms, the last layer's head outputs and values reach the logits by a linear map."""
    model = exact_model("no norm", seed=5, attn_only=True, n_layers=1)
    task = tiny_task(length=LENGTH, seed=5)
    for site in ("z", "v"):
        for direction in ("denoise", "noise"):
            options: dict[str, Any] = {"direction": direction, "progress": False}
            estimated = attribution_patching(model, task, site, ("pos", "head"), **options)
            real = patch(model, task, site, ("pos", "head"), **options)
            assert abs(real.values).max() > 0.01
            np.testing.assert_allclose(estimated.values, real.values, atol=1e-4)
            assert estimated.values.dims == real.values.dims and estimated.unit == real.unit


def test_what_is_not_told_apart_is_summed() -> None:
    model, task = exact_model("grouped"), tiny_task(length=LENGTH)
    for site in sites_of(model):
        whole = attribute(model, task, site, BY[site]).values
        for dim in BY[site]:
            rest = tuple(other for other in BY[site] if other != dim)
            summed = whole.sum("kv_head" if dim == "head" and site in ("k", "v") else dim)
            np.testing.assert_allclose(attribute(model, task, site, rest).values, summed, atol=1e-4)
    turned = attribute(model, task, "head", ("head", "pos")).values
    np.testing.assert_allclose(
        turned.transpose("layer", "pos", "head"), attribute(model, task, "z", BY["z"]).values
    )


def test_examples_can_be_kept() -> None:
    model, task = exact_model(), tiny_task(length=LENGTH)
    kept = attribution_patching(model, task, "neuron", average=False, progress=False).values
    assert kept.dims == ("batch", "layer", "d_mlp")
    np.testing.assert_allclose(
        kept.mean("batch"), attribution_patching(model, task, "neuron", progress=False).values, atol=1e-5
    )


def test_named_positions_where_prompts_are_not_aligned() -> None:
    model = exact_model()
    where = torch.tensor([2, 4, 3])
    task = dataclasses.replace(tiny_task(length=LENGTH), positions={"it": where})
    assert not task.aligned
    found = attribute(model, task, "head", ("pos", "head"), average=False).values
    assert list(found.coords["pos"].values) == ["it"]
    for example, pos in enumerate(where.tolist()):
        alone = dataclasses.replace(task.select([example]), positions={})
        expected = attribute(model, alone, "head", ("pos", "head")).values.isel(pos=pos)
        np.testing.assert_allclose(found.isel(batch=example, pos=0), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["plain", "bidirectional"])
def test_padding_is_left_out(variant: str) -> None:
    """A padded prompt is estimated as it is without its padding."""
    model, task = exact_model(variant, 3), tiny_task(length=LENGTH, seed=3)
    lengths = torch.tensor([6, 4, 5])
    answers = dataclasses.replace(task.answers, positions=lengths[:, None] - 1)
    padded = dataclasses.replace(task, lengths=lengths, answers=answers)
    by = {"head": (), "q": (), "k": ()}
    for options in ({}, {"qk_fix": True}, {"steps": 3}):
        found = attribute(model, padded, list(by), by, average=False, **options)
        for example, length in enumerate(lengths.tolist()):
            cut = dataclasses.replace(
                task.select([example]),
                clean=task.clean[[example], :length],
                corrupted=task.corrupted[[example], :length],
                answers=answers.select(torch.tensor([example])),
            )
            alone = attribute(model, cut, list(by), by, **options)
            for site in by:
                np.testing.assert_allclose(
                    found[site].values.isel(batch=example), alone[site].values, atol=1e-3, rtol=1e-3
                )


def test_frozen_weights_and_gradients_of_the_users_stay() -> None:
    model, task = exact_model(), tiny_task(length=LENGTH)
    expected = attribute(model, task, "head").values
    assert all(parameter.grad is None for parameter in model.parameters())
    model.requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_allclose(attribute(model, task, "head").values, expected)
    assert not any(point.watched for point in model.hook_points())


@pytest.mark.parametrize("variant", ["plain", "shortformer"])
def test_integrated_gradients_add_up_to_the_whole_effect(variant: str) -> None:
    """At the embedding the integral is along the very line, so its sum is the whole difference."""
    model, task = exact_model(variant, 2), tiny_task(length=LENGTH, seed=2)
    for direction in ("denoise", "noise"):
        sums = [
            float(
                attribution_patching(
                    model, task, "resid_pre", steps=steps, direction=direction, progress=False
                ).values.sel(layer=0).sum()
            )
            for steps in (1, 60)
        ]  # fmt: skip
        assert abs(sums[1] - 1) < 1e-2 < abs(sums[0] - 1)


def sharp_model(variant: str, seed: int, **overrides: Any) -> HookedTransformer:
    """A model whose heads attend to one key each."""
    model = exact_model(variant, seed, normalization_type=None, **overrides)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q *= 40
    return model


@pytest.mark.parametrize(
    "variant", ["plain", "rotary", "grouped", "soft caps", "alibi", "window", "query/key norm"]
)
def test_the_attention_fix_is_exact_up_to_the_pattern(variant: str) -> None:
    """In one layer without norms the metric is linear in the pattern: the repaired estimate is the truth."""
    overrides = {"post_embedding_ln": False, "attn_types": ["local"], "output_logits_soft_cap": 0.0}
    kept = {name: value for name, value in overrides.items() if name in VARIANTS[variant]}
    model = sharp_model(variant, 4, n_layers=1, attn_only=True, **kept)
    task = tiny_task(length=LENGTH, seed=4)
    for site in ("q", "k"):
        for by in (("pos", "head"), ("head",), ()):
            real = patch(model, task, site, by, normalize=False, progress=False).values
            base = float(task.baselines(model).corrupted.mean())
            fixed = attribute(model, task, site, by, qk_fix=True).values
            np.testing.assert_allclose(fixed, real - base, atol=1e-6)


def test_the_attention_fix_finds_what_saturation_hides() -> None:
    plain_errors, fixed_errors = [], []
    for seed in range(2):
        model = exact_model("attention only", seed)
        with torch.no_grad():
            model.blocks[1].attn.W_Q *= 40
        task = tiny_task(length=LENGTH, seed=seed)
        base = float(task.baselines(model).corrupted.mean())
        for site in ("q", "k"):
            real = patch(model, task, site, ("pos", "head"), normalize=False, progress=False, layers=[1])
            real = real.values.sel(layer=1) - base
            plain = attribute(model, task, site, ("pos", "head")).values.sel(layer=1)
            fixed = attribute(model, task, site, ("pos", "head"), qk_fix=True).values.sel(layer=1)
            plain_errors.append(float(abs(plain - real).mean() / abs(real).mean()))
            fixed_errors.append(float(abs(fixed - real).mean() / abs(real).mean()))
    assert np.mean(plain_errors) > 0.9  # as good as an estimate of nothing
    assert np.mean(fixed_errors) < 0.5 * np.mean(plain_errors)


def cancelling_model() -> tuple[HookedTransformer, Task]:
    """The answer's logit is u - relu(u): flat at u = 1, though u = -2 lowers it by 2."""
    model = HookedTransformer(
        {"n_layers": 2, "d_model": 2, "n_ctx": 2, "d_head": 2, "d_vocab": 2, "d_mlp": 1, "act_fn": "relu",
         "normalization_type": None, "positional_embedding_type": "rotary", "rotary_dim": 2}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, 0] = torch.tensor([1.0, -2.0])
        model.blocks[1].mlp.W_in[0, 0] = 1
        model.blocks[1].mlp.W_out[0, 0] = -1
        model.unembed.W_U[0, 0] = 1
    task = Task(
        "cancelling",
        clean=torch.tensor([[1]]),
        corrupted=torch.tensor([[0]]),
        answers=Answers(torch.tensor([[0]]), torch.tensor([[[0]]])),
    ).with_metric("logit")
    return model, task


def test_dropping_gradients_finds_what_cancels() -> None:
    model, task = cancelling_model()
    real = patch(model, task, "resid_pre", progress=False, normalize=False).values.sel(layer=0).item()
    assert real - 0.0 == pytest.approx(-2)
    assert attribute(model, task, "resid_pre").values.sel(layer=0).item() == pytest.approx(0)
    # Without layer 1 the slope is 1 over a step of -3; without layer 0, which does nothing, it is 0.
    assert attribute(model, task, "resid_pre", grad_drop=True).values.sel(layer=0).item() == pytest.approx(3)


def test_dropping_gradients_is_the_mean_over_layers() -> None:
    """Against one pass a layer, whose sublayers' outputs are cut off from the graph by hand."""
    model, task = exact_model(n_layers=3), tiny_task(length=LENGTH)
    found = attribute(model, task, "head", average=False, grad_drop=True).values
    expected = torch.zeros(3, 3, 4, dtype=torch.float64)
    names = [get_act_name("z", layer) for layer in range(3)]
    _, source = model.run_with_cache(task.clean, names_filter=names)
    for dropped in range(3):
        kept: dict[str, torch.Tensor] = {}

        def keep(z: torch.Tensor, hook: Any, kept: dict[str, torch.Tensor] = kept) -> None:
            kept[hook.name] = z

        outputs = [get_act_name(part, dropped) for part in ("attn_out", "mlp_out")]
        with model.hooks(fwd_hooks=[(names, keep), (outputs, lambda out, hook: out.detach())]):
            value = task.measure(task.logits(model, task.corrupted)).sum()
        grads = torch.autograd.grad(value, [kept[name] for name in names], allow_unused=True)
        for layer, (name, grad) in enumerate(zip(names, grads, strict=True)):
            if grad is not None:
                expected[:, layer] += ((source[name] - kept[name]) * grad).sum((1, 3)).abs().detach() / 2
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_both_repairs_together() -> None:
    model, task = sharp_model("plain", 1), tiny_task(length=LENGTH)
    found = attribute(model, task, ["q", "head"], {"q": ("pos",)}, qk_fix=True, grad_drop=True)
    assert float(found["q"].values.min()) >= 0 and found["q"].values.dims == ("layer", "pos")
    assert "softmax recomputed" in found["q"].title


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"sites": []}, ValueError, "empty"),
        ({"sites": "heads"}, KeyError, "not a site"),
        ({"sites": "head", "by": ("query",)}, ValueError, "separated by"),
        ({"sites": ["head", "q"], "by": ("head",)}, ValueError, "by site"),
        ({"steps": 0}, ValueError, "at least 1"),
        ({"steps": 3, "grad_drop": True}, ValueError, "cannot be combined"),
        ({"qk_fix": True}, ValueError, "'q' and 'k'"),
        ({"direction": "up"}, ValueError, "denoise"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        attribution_patching(exact_model(), tiny_task(), **{"progress": False, **options})


def test_metrics_without_a_slope_are_refused() -> None:
    model, task = exact_model(), tiny_task()
    with pytest.raises(ValueError, match="no gradient"):
        attribute(model, task.with_metric("accuracy"), "head")
    with pytest.raises(ValueError, match="minimum"):
        attribute(model, task.with_metric("kl_divergence"), "head", direction="noise")
    with pytest.raises(KeyError, match="attention-only"):
        attribute(exact_model("attention only"), task, "resid_mid")
    silent = exact_model()
    with torch.no_grad():
        silent.unembed.W_U.zero_()
    with pytest.raises(ValueError, match="score alike"):
        attribute(silent, task, "head", normalize=True)
    broken = exact_model()
    with torch.no_grad():
        broken.blocks[0].attn.W_O[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        attribute(broken, task, "head")
    with pytest.raises(ValueError, match="only one"):
        attribute(exact_model(n_layers=1), task, "head", grad_drop=True)
