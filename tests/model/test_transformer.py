"""The forward pass: what it returns, where it may start and stop, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.model.components._attention_weights import POSITIONS_FOR_ONE_PRODUCT
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import BASE, VARIANTS, close, exact_model, tiny_model, tiny_tokens

CAUSAL = [name for name, fields in VARIANTS.items() if fields.get("attention_dir") != "bidirectional"]


def test_return_types_agree_with_a_loss_by_hand() -> None:
    model, tokens = exact_model(), tiny_tokens()
    logits = model(tokens)
    both = model(tokens, return_type="both")
    by_hand = torch.stack(
        [-F.log_softmax(logits[row, pos], -1)[tokens[row, pos + 1]] for row in range(2) for pos in range(8)]
    )
    assert torch.equal(both.logits, logits)
    assert torch.allclose(both.loss, by_hand.mean())
    per_token = model(tokens, return_type="loss", loss_per_token=True)
    assert torch.allclose(per_token.flatten(), by_hand, atol=1e-12)
    assert model(tokens, return_type=None) is None
    assert torch.allclose(model(tokens[0]), logits[:1], atol=1e-12)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_pass_may_stop_and_start_at_any_layer(variant: str) -> None:
    model, tokens = exact_model(variant), tiny_tokens()
    logits, cache = model.run_with_cache(tokens)
    _, _, shortformer, _ = model.input_to_embed(tokens)
    for layer in (0, 1, 2):
        residual = model(tokens, stop_at_layer=layer)
        name = "blocks.1.hook_resid_post" if layer == 2 else f"blocks.{layer}.hook_resid_pre"
        assert close(residual, cache[name])
        resumed = model(residual, start_at_layer=layer, shortformer_pos_embed=shortformer)
        assert close(resumed, logits)
    assert close(model(tokens, stop_at_layer=-1), model(tokens, stop_at_layer=1))
    _, stopped = model.run_with_cache(tokens, stop_at_layer=1)
    assert "blocks.0.hook_resid_post" in stopped
    assert not any(name.startswith(("blocks.1", "ln_final")) for name in stopped)


@pytest.mark.parametrize("variant", CAUSAL)
def test_a_causal_model_ignores_the_future(variant: str) -> None:
    model, tokens = exact_model(variant), tiny_tokens()
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 30
    assert torch.allclose(model(tokens)[:, :5], model(changed)[:, :5], atol=1e-12)
    assert not torch.allclose(model(tokens)[:, 5:], model(changed)[:, 5:], atol=1e-3)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_looking_changes_nothing(variant: str) -> None:
    """Fused and open attention, whole and split inputs, give the same logits."""
    model, tokens = exact_model(variant), tiny_tokens()
    plain = model(tokens)
    scale = plain.abs().max()
    for name in model.hook_dict:
        if name.endswith("hook_attn_in") and model.blocks[0].attn.grouped:
            continue
        with model.hooks(fwd_hooks=[(name, lambda x, hook: None)]):
            assert ((model(tokens) - plain).abs().max() / scale) < 1e-13, name
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, :3] = False
    fused = model(tokens, attention_mask=mask)
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_pattern", lambda x, hook: None)]):
        assert ((model(tokens, attention_mask=mask) - fused).abs().max() / scale) < 1e-13


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_left_padding_changes_nothing(variant: str) -> None:
    model, tokens = exact_model(variant), tiny_tokens(1, 6)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), tokens], 1)
    mask = torch.tensor([[0] * 3 + [1] * 6])
    assert torch.allclose(model(padded, attention_mask=mask)[:, 3:], model(tokens), atol=1e-4)


@pytest.mark.parametrize("variant", CAUSAL)
def test_a_cache_of_keys_and_values_changes_nothing(variant: str) -> None:
    model, tokens = exact_model(variant), tiny_tokens(2, 10)
    whole = model(tokens)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    pieces = [model(part, past_kv_cache=cache) for part in tokens.split([4, 1, 3, 2], dim=1)]
    assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-4)


@pytest.mark.parametrize("variant", ["plain", "rotary", "alibi", "window", "Gemma-like"])
def test_a_frozen_cache_serves_many_continuations_of_a_padded_prefix(variant: str) -> None:
    model = exact_model(variant)
    tokens = tiny_tokens(2, 9)
    mask = torch.ones_like(tokens)
    mask[0, :2] = 0
    whole = model(tokens, attention_mask=mask)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    model(tokens[:, :6], attention_mask=mask[:, :6], past_kv_cache=cache)
    cache.freeze()
    for _ in range(2):
        again = model(tokens[:, 6:], past_kv_cache=cache)
        assert torch.allclose(again, whole[:, 6:], atol=1e-4)
        assert cache.length == 6
    cache.unfreeze()
    model(tokens[:, 6:7], past_kv_cache=cache)
    assert cache.length == 7


@settings(max_examples=40, deadline=None)
@given(
    variant=st.sampled_from(list(VARIANTS)),
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    length=st.integers(1, 12),
)
def test_a_batch_is_its_rows(variant: str, seed: int, batch: int, length: int) -> None:
    model, tokens = exact_model(variant, seed=seed), tiny_tokens(batch, length, seed)
    together = model(tokens)
    apart = torch.cat([model(row[None]) for row in tokens])
    assert close(together, apart)


def test_optional_activations_are_computed_only_when_named() -> None:
    model, tokens = exact_model(), tiny_tokens()
    _, everything = model.run_with_cache(tokens)
    assert not any(
        name.endswith(("hook_result", "_input", "attn_in", "mlp_in", "hook_tokens")) for name in everything
    )
    names = ["blocks.1.attn.hook_result", "blocks.0.hook_q_input", "blocks.0.hook_mlp_in", "hook_tokens"]
    _, cache = model.run_with_cache(tokens, names_filter=names)
    assert set(cache) == set(names)
    assert cache["result", 1].shape == (2, 9, 4, 24)
    assert cache["blocks.0.hook_q_input"].shape == (2, 9, 4, 24)
    total = cache["result", 1].sum(2) + model.b_O[1]
    assert torch.allclose(total, everything["attn_out", 1], atol=1e-5)
    model.set_use_attn_result(True)
    _, everything = model.run_with_cache(tokens)
    assert "blocks.0.attn.hook_result" in everything
    assert "blocks.0.hook_mlp_in" not in everything


def test_split_inputs_are_separate_interventions() -> None:
    """Zeroing what the keys of head 1 read changes its pattern, and nothing of the other heads."""
    model, tokens = exact_model(), tiny_tokens()
    _, clean = model.run_with_cache(tokens)

    def zero_head_1(x: torch.Tensor, hook: object) -> None:
        x[:, :, 1] = 0

    with model.hooks(fwd_hooks=[("blocks.0.hook_k_input", zero_head_1)]):
        _, dirty = model.run_with_cache(tokens)
    others = [0, 2, 3]
    assert torch.allclose(clean["k", 0][:, :, others], dirty["k", 0][:, :, others], atol=1e-5)
    assert not torch.allclose(clean["k", 0][:, :, 1], dirty["k", 0][:, :, 1], atol=1e-2)
    assert torch.allclose(clean["q", 0], dirty["q", 0], atol=1e-5)
    assert torch.allclose(clean["v", 0], dirty["v", 0], atol=1e-5)


def test_grouped_weights_are_stored_once_and_shown_per_query_head() -> None:
    model = tiny_model("grouped")
    assert model.state_dict()["blocks.0.attn._W_K"].shape == (2, 24, 8)
    assert model.W_K.shape == (2, 4, 24, 8)
    assert torch.equal(model.W_K[0, 0], model.W_K[0, 1])
    assert not torch.equal(model.W_K[0, 1], model.W_K[0, 2])


def test_tied_embeddings_are_one_tensor_with_one_gradient() -> None:
    model = tiny_model("tied")
    assert model.W_U.data_ptr() == model.W_E.data_ptr()
    assert "unembed.W_U" not in model.state_dict()
    model(tiny_tokens(), return_type="loss").backward()
    assert model.embed.W_E.grad is not None
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.embed.W_E.zero_()
    assert not twin.W_U.any()
    assert model.W_U.any()


def test_one_seed_gives_one_model_and_another_another() -> None:
    one, same, other = (HookedTransformer({**BASE, "seed": seed}) for seed in (1, 1, 2))
    assert torch.equal(one.W_Q, same.W_Q)
    assert not torch.equal(one.W_Q, other.W_Q)


@pytest.mark.parametrize(
    "mode", ["gpt2", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]
)
def test_initial_weights_have_the_spread_that_the_mode_names(mode: str) -> None:
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=256, n_ctx=8, d_head=64, d_vocab=500, act_fn="relu", init_mode=mode, seed=0
    )
    W_in = HookedTransformer(cfg).blocks[0].mlp.W_in
    expected = {"gpt2": 0.8 / 16, "xavier": (2 / (256 + 1024)) ** 0.5, "kaiming": 1 / 16}[mode.split("_")[0]]
    assert W_in.std().item() == pytest.approx(expected, rel=0.02)
    if mode.endswith("uniform"):
        assert W_in.abs().max().item() <= expected * 3**0.5 * 1.001


@pytest.mark.parametrize("variant", ["plain", "grouped", "shortformer", "Gemma-like"])
def test_few_positions_and_many_give_the_same_projections(variant: str) -> None:
    """Few positions are a product per head, many one product of weights copied side by side."""
    model = exact_model(variant)
    few = tiny_tokens(batch=2)
    many = few.repeat(8, 1)
    assert few.numel() < POSITIONS_FOR_ONE_PRODUCT <= many.numel()
    assert torch.allclose(model(many), model(few).repeat(8, 1, 1), rtol=0, atol=1e-12)


def test_a_model_survives_copying_pickling_and_other_data_types() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(tokens), model(tokens))
        with twin.hooks(fwd_hooks=[("hook_embed", lambda x, hook: x * 0)]):
            assert not torch.equal(twin(tokens), model(tokens))
    reference = model(tokens)
    assert torch.allclose(model.to(torch.float64)(tokens).float(), reference, atol=1e-4)
    assert model.cfg.dtype == torch.float64
    assert model.to(torch.bfloat16)(tokens).dtype == torch.bfloat16


def test_weights_that_do_not_fit_are_listed_at_once() -> None:
    model = tiny_model()
    state = model.state_dict()
    del state["blocks.0.attn.W_Q"]
    state["blocks.0.mlp.W_on"] = torch.zeros(1)
    state["unembed.b_U"] = torch.zeros(7)
    with pytest.raises(ValueError) as error:
        HookedTransformer.from_state(model.cfg, state)
    message = str(error.value)
    assert "1 missing: blocks.0.attn.W_Q [4, 24, 8]" in message
    assert "1 unexpected: blocks.0.mlp.W_on" in message
    assert "1 of the wrong shape: unembed.b_U [7] instead of [30]" in message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(torch.full((1, 3), 30)), "token id 30 is out of range.*0 to 29"),
        (lambda m: m(torch.full((1, 3), -1)), "token id -1 is out of range"),
        (lambda m: m(torch.zeros(1, 13, dtype=torch.long)), "13 positions.*n_ctx=12"),
        (lambda m: m(torch.zeros(1, 3)), "whole numbers"),
        (lambda m: m(torch.zeros(1, 0, dtype=torch.long)), "no tokens"),
        (lambda m: m(torch.zeros(1, 2, 3, dtype=torch.long)), r"\[batch pos\]"),
        (lambda m: m(tiny_tokens(), return_type="logit"), "return_type"),
        (lambda m: m(tiny_tokens(), stop_at_layer=3), "between -2 and 2"),
        (lambda m: m(tiny_tokens(), attention_mask=torch.ones(2, 3)), "attention_mask has shape"),
        (lambda m: m(tiny_tokens(), start_at_layer=1), r"residual stream \[batch pos 24\]"),
        (lambda m: m(torch.zeros(2, 3, 24), start_at_layer=1, return_type="loss"), "needs the tokens"),
        (lambda m: m("text"), "needs a tokenizer"),
        (lambda m: m.to_string([1]), "needs a tokenizer"),
        (lambda m: m.run_with_cache(tiny_tokens(), remove_batch_dim=True), "batch of 1"),
    ],
)
def test_misuse_is_refused_with_what_was_found_and_wanted(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tiny_model())


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="no argument 'stop_at_layr'.*stop_at_layer"):
        tiny_model()(tiny_tokens(), stop_at_layr=1)
    with pytest.raises(TypeError, match="no argument 'name_filter'.*names_filter"):
        tiny_model().run_with_cache(tiny_tokens(), name_filter="hook_embed")
    with pytest.raises(TypeError, match="no argument 'fwd_hook'.*fwd_hooks"):
        tiny_model().run_with_hooks(tiny_tokens(), fwd_hook=[])


def test_a_cache_too_long_for_the_context_is_refused() -> None:
    model = tiny_model()
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    model(tiny_tokens(2, 10), past_kv_cache=cache)
    with pytest.raises(ValueError, match="13 positions"):
        model(tiny_tokens(2, 3), past_kv_cache=cache)
    with pytest.raises(ValueError, match="batch of 2"):
        model(tiny_tokens(1, 1), past_kv_cache=cache)
