"""Terms of the logit difference: they add up, and each is what leaving the part out would take away."""

from __future__ import annotations

import pytest
import torch

from mechscope.techniques._logit_terms import LogitTerms
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution
from tests.model.tiny import VARIANTS, exact_model
from tests.techniques.reading_tasks import tiny_task


def uncapped_difference(model, task) -> torch.Tensor:
    """The logit difference by hand, from the model's own final stream, before a soft cap [batch answer]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(task.clean)
        stream = cache["resid_post", model.cfg.n_layers - 1]
        logits = task.at_answers(model.ln_final(stream)) @ model.W_U + model.b_U
    out = torch.zeros(logits.shape[:2])
    for row in range(len(logits)):
        for answer in range(logits.shape[1]):
            right = [t for t in task.answers.correct[row, answer].tolist() if t >= 0]
            out[row, answer] = logits[row, answer, right].mean()
            if task.answers.wrong is not None:
                out[row, answer] -= logits[row, answer, task.answers.wrong[row, answer]].mean()
    return out


@pytest.mark.parametrize("by", ["component", "layer"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_sum_to_the_logit_difference(variant: str, by: str) -> None:
    model, task = exact_model(variant, seed=3), tiny_task(n_answers=2)
    expected = uncapped_difference(model, task).mean(1)
    found = direct_logit_attribution(model, task, by, average=False)
    assert found.contributions.values.dims == ("batch", "component")
    torch.testing.assert_close(
        torch.tensor(found.contributions.values.sum("component").values),
        expected,
        atol=1e-4,
        rtol=1e-4,
        check_dtype=False,
    )
    assert found.total == pytest.approx(float(expected.mean()), abs=1e-4)
    assert abs(found.rest) < 1e-4
    if variant != "soft caps":
        with torch.no_grad():
            assert found.total == pytest.approx(
                float(task.measure(task.logits(model, task.clean)).mean()), abs=1e-4
            )


@pytest.mark.parametrize("variant", ["plain", "grouped", "norms before and after", "norms after", "parallel"])
def test_a_heads_term_is_what_its_z_adds_with_the_scales_held(variant: str) -> None:
    model, task = exact_model(variant, seed=5), tiny_task()
    terms = LogitTerms(model, task)
    layer, head = 1, 2
    held = {
        name: terms.cache[name]
        for name in terms.cache
        if name.endswith(("_post.hook_scale", "ln_final.hook_scale"))
    }

    def silence(z, hook):
        z[:, :, head] = 0

    def hold(scale, hook):
        return held[hook.name]

    # The other norms must not notice: what the later layers read is put back.
    fixed = [(name, lambda value, hook: terms.cache[hook.name]) for name in (f"blocks.{layer}.hook_mlp_out",)]
    hooks = [(f"blocks.{layer}.attn.hook_z", silence), *[(name, hold) for name in held], *fixed]
    with torch.no_grad():
        logits = model.run_with_hooks(task.clean, fwd_hooks=hooks)
    taken = terms.total() - task.measure(task.at_answers(logits))[:, None]
    torch.testing.assert_close(terms.heads()[layer, ..., head], taken, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "attention only"])
def test_neurons_and_bias_sum_to_their_mlp(variant: str) -> None:
    model, task = exact_model(variant, seed=1), tiny_task(n_answers=2)
    terms = LogitTerms(model, task)
    values, names = terms.components(split_heads=True)
    for layer in range(2):
        whole = values[..., names.index(f"m{layer}")]
        torch.testing.assert_close(
            terms.neurons(layer).sum(-1) + terms.mlp_bias(layer), whole, atol=1e-4, rtol=1e-4
        )


def test_the_bias_of_an_output_norm_is_a_term() -> None:
    """LayerNorms of the sublayers' outputs have biases; the variants above only have RMS norms there."""
    model, task = exact_model("norms before and after", seed=4, normalization_type="LN"), tiny_task()
    assert model.blocks[0].ln1_post.b.abs().max() > 0.1
    for by in ("component", "layer"):
        found = direct_logit_attribution(model, task, by)  # type: ignore[arg-type]
        assert abs(found.rest) < 1e-4
        assert found.total == pytest.approx(float(uncapped_difference(model, task).mean()), abs=1e-4)


def test_top_neurons_are_the_largest_of_all_layers() -> None:
    model, task = exact_model(), tiny_task()
    terms = LogitTerms(model, task)
    every = {
        f"m{layer}.n{index}": float(value)
        for layer in range(2)
        for index, value in enumerate(terms.neurons(layer).mean((0, 1)))
    }
    found = direct_logit_attribution(model, task, "neuron", top=7).contributions.values
    best = sorted(every, key=lambda name: -abs(every[name]))[:7]
    assert found.coords["component"].values.tolist() == best
    assert found.values.tolist() == pytest.approx([every[name] for name in best], abs=1e-5)


@pytest.mark.parametrize("variant", ["plain", "grouped", "rotary", "window", "Gemma-like", "bidirectional"])
def test_sources_sum_to_their_head(variant: str) -> None:
    model, task = exact_model(variant, seed=2), tiny_task()
    sources = direct_logit_attribution(model, task, "source").contributions.values
    heads = direct_logit_attribution(model, task, "head").contributions.values
    assert sources.dims == ("component", "key")
    assert sources.sum("key").values.tolist() == pytest.approx(heads.values.flatten().tolist(), abs=1e-4)
    assert sources.std("key").max() > 1e-3


def test_all_positions_read_the_answer_at_each() -> None:
    model, task = exact_model("no norm"), tiny_task(n_choices=1)
    found = direct_logit_attribution(model, task, positions="all").contributions.values
    assert found.dims == ("component", "pos")
    at_the_end = direct_logit_attribution(model, task).contributions.values
    assert found.isel(pos=-1).values.tolist() == pytest.approx(at_the_end.values.tolist(), abs=1e-5)
    with torch.no_grad():
        logits = model(task.clean)
    right, wrong = task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]
    rows = torch.arange(3)
    expected = (logits[rows, :, right] - logits[rows, :, wrong]).mean(0)
    assert found.sum("component").values.tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_without_wrong_answers_it_is_the_logit() -> None:
    model, task = exact_model(), tiny_task(wrong=False).with_metric("logit")
    with torch.no_grad():
        logit = float(task.measure(task.logits(model, task.clean)).mean())
    assert direct_logit_attribution(model, task).total == pytest.approx(logit, abs=1e-4)


def test_mistakes_are_explained() -> None:
    model, task = exact_model("attention only"), tiny_task(n_answers=2)
    with pytest.raises(ValueError, match="component, layer"):
        direct_logit_attribution(model, task, "heads")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no neurons"):
        direct_logit_attribution(model, task, "neuron")
    with pytest.raises(ValueError, match="2 answers per prompt"):
        direct_logit_attribution(model, task, positions="all")
    with torch.no_grad():
        model.W_E[3:] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        direct_logit_attribution(model, task)
