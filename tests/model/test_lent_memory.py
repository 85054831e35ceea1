"""What a cache holds is its own: editing it in place changes neither the model nor anything else that was computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope.model.encoder import HookedEncoder
from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.slice import Slice
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import BASE, VARIANTS, tiny_model, tiny_tokens


def zero(cache: Any) -> None:
    with torch.no_grad():
        for name in cache:
            cache[name].zero_()


def all_names(model: HookedTransformer) -> list[str]:
    grouped = model.cfg.n_key_value_heads is not None
    return [name for name in model.hook_dict if not (grouped and name.endswith("hook_attn_in"))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(2, 9), (1, 1), (11, 10)])
def test_zeroing_a_cache_leaves_the_weights_the_inputs_and_other_runs_alone(
    variant: str, shape: tuple[int, int]
) -> None:
    model, tokens = tiny_model(variant), tiny_tokens(*shape)
    given = tokens.clone()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    logits, other = model.run_with_cache(tokens)
    before = {name: value.clone() for name, value in other.items()}
    for pos_slice in (None, -1):
        _, cache = model.run_with_cache(tokens, names_filter=all_names(model), pos_slice=pos_slice)
        zero(cache)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert torch.equal(tokens, given)
    assert all(torch.equal(before[name], other[name]) for name in other)
    assert torch.equal(model.run_with_cache(tokens)[0], logits)


@pytest.mark.parametrize("kind", ["persistent", "pairs"])
def test_caches_that_hooks_fill_own_their_memory_too(kind: str) -> None:
    model, tokens = tiny_model(), tiny_tokens(1)
    if kind == "persistent":
        cache = model.add_caching_hooks()
        model(tokens)
        model.reset_hooks()
    else:
        cache, forward, _ = model.get_caching_hooks()
        model.run_with_hooks(tokens, fwd_hooks=forward)
    before = model.W_pos.clone()
    zero(cache)
    assert torch.equal(model.W_pos, before)


def test_a_block_that_runs_alone_is_cached_apart_from_what_it_was_given() -> None:
    model, residual = tiny_model(), torch.randn(1, 4, 24)
    cache = model.add_caching_hooks("blocks.0.hook_resid_pre")
    model.blocks[0](residual)
    zero(cache)
    assert residual.any()


def test_what_a_pass_starts_from_is_not_in_its_cache() -> None:
    model = tiny_model()
    _, first = model.run_with_cache(tiny_tokens())
    start = first["resid_pre", 1].clone()
    _, second = model.run_with_cache(first["resid_pre", 1], start_at_layer=1, return_type="logits")
    zero(second)
    assert torch.equal(first["resid_pre", 1], start)


def test_a_stored_activation_that_a_hook_puts_in_is_not_in_the_cache() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    _, stored = model.run_with_cache(tiny_tokens(seed=1))
    before = {name: value.clone() for name, value in stored.items()}
    names = ["blocks.0.hook_resid_post", "blocks.1.attn.hook_v", "blocks.1.attn.hook_pattern"]
    with model.hooks(fwd_hooks=[(names, lambda x, hook: stored[hook.name])]):
        _, cache = model.run_with_cache(tokens)
    assert torch.equal(cache["resid_pre", 1], before["blocks.0.hook_resid_post"])
    zero(cache)
    assert all(torch.equal(before[name], stored[name]) for name in stored)


@pytest.mark.parametrize("variant", ["plain", "rotary", "grouped"])
def test_a_key_value_cache_is_out_of_reach(variant: str) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    past = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    for piece in tokens.split([3, 1, 5], dim=1):
        _, cache = model.run_with_cache(piece, past_kv_cache=past)
        zero(cache)
    kept = [(entry.past_keys.clone(), entry.past_values.clone()) for entry in past]
    fresh = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    for piece in tokens.split([3, 1, 5], dim=1):
        model.run_with_cache(piece, past_kv_cache=fresh)
    for (keys, values), entry in zip(kept, fresh, strict=True):
        assert torch.equal(keys, entry.past_keys)
        assert torch.equal(values, entry.past_values)


def test_gradients_in_a_cache_are_not_the_weights_gradients() -> None:
    model, tokens = tiny_model(), tiny_tokens(1, 2)
    _, cache = model.run_with_cache(tokens, return_type="loss", incl_bwd=True)
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}  # type: ignore[union-attr]
    zero(cache)
    assert all(
        torch.equal(gradients[name], parameter.grad)  # type: ignore[arg-type]
        for name, parameter in model.named_parameters()
    )


class HooksItsWeight(HookedRootModule):
    """A toy model of somebody else's, whose hook points see a weight and the input themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.W = torch.nn.Parameter(torch.ones(3, 3))
        self.hook_in, self.hook_W = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.hook_in(x) @ self.hook_W(self.W)).sum()


def test_a_module_that_hooks_its_weight_and_its_input() -> None:
    model, x = HooksItsWeight(), torch.ones(2, 3)
    _, cache = model.run_with_cache(x, incl_bwd=True)
    zero(cache)
    assert x.all()
    assert model.W.all()
    assert model.W.grad is not None
    assert torch.equal(model.W.grad, torch.full((3, 3), 2.0))


def test_the_encoder() -> None:
    fields = {**BASE, "attention_dir": "bidirectional"}
    model, tokens = HookedEncoder(fields), tiny_tokens()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _, cache = model.run_with_cache(tokens)
    zero(cache)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("pos_slice", [3, (1, 3), [0, 4], slice(None, 2)])
def test_a_cache_of_some_positions_holds_no_others_in_memory(pos_slice: Any) -> None:
    model = tiny_model()
    _, cache = model.run_with_cache(tiny_tokens(), pos_slice=pos_slice)
    for name, value in cache.items():
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), name


@pytest.mark.parametrize("batch_slice", [0, (0, 1), [1]])
def test_a_cache_of_some_of_the_batch_holds_no_others_in_memory(batch_slice: Any) -> None:
    model = tiny_model()
    _, cache = model.run_with_cache(tiny_tokens())
    for name, value in cache.apply_slice_to_batch_dim(Slice(batch_slice)).items():
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), name


def test_one_projection_does_not_hold_the_others() -> None:
    """Few positions and many take different paths through the projections."""
    for shape in ((1, 1), (2, 9), (11, 10)):
        _, cache = tiny_model().run_with_cache(tiny_tokens(*shape), names_filter="blocks.0.attn.hook_k")
        value = cache["k", 0]
        assert value.is_contiguous()
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size()


def test_a_hook_after_one_that_stored_its_activation_cannot_spoil_it() -> None:
    model = tiny_model()
    stored: dict[str, torch.Tensor] = {}
    name = "blocks.0.hook_resid_post"

    def store(activation: torch.Tensor, hook: HookPoint) -> None:
        stored[name] = activation

    model.run_with_hooks(tiny_tokens(), fwd_hooks=[(name, store), (name, lambda x, hook: x.zero_())])
    assert stored[name].any()
