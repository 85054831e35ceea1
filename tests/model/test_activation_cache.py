"""The pieces of a pass add up to the whole, and are found by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mechscope.model.activation_cache import ActivationCache
from tests.model.tiny import VARIANTS, close, exact_model, tiny_tokens

SEPARABLE = [name for name, fields in VARIANTS.items() if fields.get("norm_placement", "pre") == "pre"]


def run(variant: str = "plain", **kwargs):
    model = exact_model(variant)
    logits, cache = model.run_with_cache(tiny_tokens(), **kwargs)
    return model, logits, cache


def test_names_short_and_long_find_the_same() -> None:
    _, _, cache = run()
    assert cache["pattern", 0] is cache["blocks.0.attn.hook_pattern"]
    assert cache["scale", 1, "ln2"] is cache["blocks.1.ln2.hook_scale"]
    assert cache["resid_post", -1] is cache["blocks.1.hook_resid_post"]
    assert cache["embed"] is cache["hook_embed"]
    assert ("q", 1) in cache
    assert "nothing" not in cache
    assert len(cache) == len(list(cache.keys())) == len(cache.values()) == len(dict(cache.items()))
    assert next(iter(cache)) == "hook_embed"


def test_a_missing_name_says_what_there_is() -> None:
    _, _, cache = run(names_filter=lambda name: name.endswith("hook_q"))
    with pytest.raises(KeyError, match=r"no 'blocks.0.attn.hook_k'.*not kept.*names_filter.*hook_q"):
        cache["k", 0]
    with pytest.raises(KeyError, match="nearest"):
        cache["blocks.0.attn.hook_qq"]


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_layer_contributions_sum_to_the_residual_stream(variant: str) -> None:
    model, _, cache = run(variant)
    for layer in (1, 2):
        stack, labels = cache.decompose_resid(layer, return_labels=True)
        assert len(stack) == len(labels)
        whole = cache["resid_post", 1] if layer == 2 else cache["resid_pre", 1]
        assert close(stack.sum(0), whole)
    if not model.cfg.attn_only and not model.cfg.parallel_attn_mlp:
        assert close(cache.decompose_resid(1, mlp_input=True).sum(0), cache["resid_mid", 1])


@pytest.mark.parametrize("variant", SEPARABLE)
@pytest.mark.parametrize("expand_neurons", [True, False])
def test_heads_neurons_and_biases_sum_to_the_residual_stream(variant: str, expand_neurons: bool) -> None:
    _, _, cache = run(variant)
    stack, labels = cache.get_full_resid_decomposition(expand_neurons=expand_neurons, return_labels=True)
    assert len(labels) == len(set(labels)) == len(stack)
    assert close(stack.sum(0), cache["resid_post", 1])
    direction = torch.randn(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    projected = cache.get_full_resid_decomposition(
        expand_neurons=expand_neurons, project_output_onto=direction
    )
    assert close(projected, stack @ direction, 1e-4)


def test_heads_and_a_remainder_sum_to_the_residual_stream() -> None:
    _, _, cache = run()
    stack, labels = cache.stack_head_results(incl_remainder=True, return_labels=True)
    assert labels[:2] == ["L0H0", "L0H1"]
    assert labels[-1] == "remainder"
    assert close(stack.sum(0), cache["resid_post", 1])
    neurons, labels = cache.stack_neuron_results(2, neuron_slice=(3, 5), return_labels=True)
    assert labels == ["L0N3", "L0N4", "L1N3", "L1N4"]
    assert neurons.shape == (4, 2, 9, 24)
    one = cache.stack_neuron_results(1, neuron_slice=3, pos_slice=-1)
    assert close(one[0], neurons[0][:, -1])


def test_head_results_equal_those_that_the_hook_computes() -> None:
    model, _, cache = run()
    _, with_results = model.run_with_cache(
        tiny_tokens(), names_filter=[f"blocks.{i}.attn.hook_result" for i in range(2)]
    )
    cache.compute_head_results()
    for layer in range(2):
        assert close(cache["result", layer], with_results["result", layer])


@pytest.mark.parametrize("variant", [name for name in SEPARABLE if "caps" not in name])
def test_logit_attributions_sum_to_the_logit_difference(variant: str) -> None:
    model = exact_model(variant)
    with torch.no_grad():
        model.unembed.b_U.zero_()
        if getattr(model.ln_final, "b", None) is not None:
            model.ln_final.b.zero_()
    logits, cache = model.run_with_cache(tiny_tokens())
    stack = cache.get_full_resid_decomposition(pos_slice=-1)
    right, wrong = torch.tensor([3, 4]), torch.tensor([5, 6])
    attributions = cache.logit_attrs(stack, right, wrong, pos_slice=-1)
    assert attributions.shape == (len(stack), 2)
    rows = torch.arange(2)
    difference = logits[rows, -1, right] - logits[rows, -1, wrong]
    assert close(attributions.sum(0), difference, 1e-4)
    single = cache.logit_attrs(stack, 3, pos_slice=-1).sum(0)
    assert close(single, logits[:, -1, 3], 1e-4)


def test_the_logit_lens_ends_at_the_logits() -> None:
    model, logits, cache = run()
    lens, labels = cache.accumulated_resid(apply_ln=True, incl_mid=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    assert close(lens[-1] @ model.W_U + model.b_U, logits)


def test_scaling_uses_the_norm_that_reads_there() -> None:
    _, _, cache = run("LNPre")
    scaled = cache.apply_ln_to_stack(cache["resid_pre", 1][None], layer=1)[0]
    assert close(scaled, cache["normalized", 1, "ln1"])
    scaled = cache.apply_ln_to_stack(cache["resid_mid", 1][None], layer=1, mlp_input=True)[0]
    assert close(scaled, cache["normalized", 1, "ln2"])


def test_split_inputs_leave_one_scale_to_apply() -> None:
    model = exact_model("LNPre")
    model.set_use_split_qkv_input(True)
    _, cache = model.run_with_cache(tiny_tokens())
    scaled = cache.apply_ln_to_stack(cache["resid_pre", 1][None], layer=1)[0]
    assert close(scaled, cache["normalized", 1, "ln1"][:, :, 0])


def test_slices_of_batch_and_positions() -> None:
    model, _, cache = run()
    one = cache.apply_slice_to_batch_dim(1)
    assert not one.has_batch_dim
    assert torch.equal(one["resid_pre", 1], cache["resid_pre", 1][1])
    some = cache.apply_slice_to_batch_dim([0])
    assert some["q", 0].shape[0] == 1
    _, last = model.run_with_cache(tiny_tokens(), pos_slice=-1)
    for number in (np.int64(-1), torch.tensor(-1), np.array(-1)):
        same = model.run_with_cache(tiny_tokens(), pos_slice=number)[1]
        assert all(torch.equal(value, last[name]) for name, value in same.items())
    for name, value in last.items():
        axis = -2 if name.endswith(("pattern", "scores")) else 1
        assert torch.allclose(value, cache[name].narrow(axis, -1, 1), atol=1e-5), name
    with pytest.raises(ValueError, match="batch of 1"):
        cache.remove_batch_dim()
    _, single = model.run_with_cache(tiny_tokens(1), remove_batch_dim=True)
    assert single["pattern", 0].shape == (4, 9, 9)
    attention = single.decompose_resid(mode="attn", incl_embeds=False).sum(0)
    assert close(single.stack_head_results().sum(0) + model.b_O.sum(0), attention)


def test_output_norms_have_no_head_results() -> None:
    _, _, cache = run("norms after")
    with pytest.raises(ValueError, match="normalizes the output of each sublayer"):
        cache.stack_head_results()


def test_gradients_are_cached_beside_the_activations() -> None:
    model = exact_model()
    loss, cache = model.run_with_cache(tiny_tokens(), return_type="loss", incl_bwd=True)
    name = "blocks.0.hook_resid_post"
    step = 1e-3
    direction = torch.randn(
        cache[name].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    moved = model.run_with_hooks(
        tiny_tokens(), return_type="loss", fwd_hooks=[(name, lambda x, hook: x + step * direction)]
    )
    predicted = step * (cache[name + "_grad"] * direction).sum()
    assert torch.isclose((moved - loss).detach(), predicted, rtol=0.05)


def test_the_cache_holds_each_tensor_once() -> None:
    from mechscope.model._display import storage_bytes

    _, _, cache = run()
    distinct = {value.data_ptr(): value.numel() * value.element_size() for value in cache.values()}
    assert storage_bytes(cache.values()) <= sum(distinct.values())


def test_a_cache_and_a_model_print_as_something_to_read() -> None:
    model, _, cache = run()
    text = repr(cache)
    assert "ActivationCache of custom" in text
    assert "blocks.0-1.attn.hook_pattern" in text
    assert "2 x 4 x 9 x 9" in text
    assert len(text.splitlines()) < 40
    assert "<table>" in cache._repr_html_()
    page = repr(model)
    assert "layers 2" in page
    assert "blocks.0-1.attn.W_Q" in page
    assert "<details>" in model._repr_html_()


def test_moving_a_cache() -> None:
    _, _, cache = run()
    assert cache.to("cpu") is cache
    assert isinstance(cache, ActivationCache)
