"""Step 03's measures against hand-computed cases and brute force."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.labs.induction.ablation import mean_ablation_hooks
from mechscope.labs.induction.change_point import abruptness, halfway_step
from mechscope.labs.induction.circuits import (
    copying_scores,
    k_composition,
    random_k_composition,
    readable_weights,
)
from mechscope.labs.induction.gpt2 import DUPLICATE, INDUCTION, PREVIOUS, HeadTable, head_table, top_heads
from mechscope.labs.induction.hand_wired import hand_wired_induction, induction_accuracy, solvable_blocks
from mechscope.labs.induction.scores import (
    duplicate_scores,
    in_context_score,
    patterns,
    prefix_scores,
    previous_token_scores,
    repeated_loss,
    token_losses,
)
from mechscope.model.transformer import HookedTransformer

SHAPE = {"d_model": 12, "n_ctx": 15, "d_head": 4, "n_heads": 3, "d_vocab": 20, "attn_only": True}


def tiny(seed: int = 0, **changes) -> HookedTransformer:
    model = HookedTransformer(
        {**SHAPE, "n_layers": 2, "positional_embedding_type": "shortformer", "seed": seed, **changes}
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        # Norms and biases away from their neutral starting values, or folding would have nothing to do.
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def tokens_of(batch: int = 4, half: int = 7, seed: int = 0) -> torch.Tensor:
    return solvable_blocks(batch, half, 19, torch.Generator().manual_seed(seed))


def pointing(offset: int, half: int = 5) -> torch.Tensor:
    """A pattern in which every query looks `offset` positions back (or at position 0)."""
    length = 2 * half + 1
    pattern = torch.zeros(1, 1, 1, length, length)
    for query in range(length):
        pattern[..., query, max(0, query - offset)] = 1
    return pattern


# Scores ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "right", "wrong"),
    [
        (lambda pattern: prefix_scores(pattern, 5), 4, (3, 5, 1)),
        (lambda pattern: duplicate_scores(pattern, 5), 5, (4, 6, 1)),
        (previous_token_scores, 1, (0, 2, 4)),
    ],
)
def test_scores_are_one_for_the_right_offset_and_zero_for_others(score, right: int, wrong: tuple) -> None:
    assert float(score(pointing(right))) == 1
    for offset in wrong:
        assert float(score(pointing(offset))) == 0


def test_the_prefix_score_averages_over_the_second_copy() -> None:
    pattern = pointing(4)
    pattern[..., 6, :] = 0  # the first query of the second copy looks nowhere
    assert float(prefix_scores(pattern, 5)) == pytest.approx(4 / 5)
    pattern = pointing(4)
    pattern[..., 5, :] = 0  # a query of the first copy does not count
    assert float(prefix_scores(pattern, 5)) == 1


def test_a_pattern_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="covers 11 positions; BOS and a block of 4 twice are 9"):
        prefix_scores(pointing(4), 4)


def test_losses_by_hand() -> None:
    losses = torch.arange(1.0, 11)[None]  # 11 tokens: BOS and a block of 5 twice
    assert repeated_loss(losses, 5) == pytest.approx((7 + 8 + 9 + 10) / 4)
    assert in_context_score(losses, share=0.2) == pytest.approx((9 + 10) / 2 - (1 + 2) / 2)


def test_token_losses_are_cross_entropies() -> None:
    model, tokens = tiny(), tokens_of()
    logits = model(tokens)
    by_hand = -logits.detach().log_softmax(-1)[0, 3, tokens[0, 4]]
    assert float(token_losses(model, tokens)[0, 3]) == pytest.approx(float(by_hand), abs=1e-5)


# Change points --------------------------------------------------------------------------------------


def test_a_jump_and_a_straight_line() -> None:
    step = torch.arange(0, 101, 5)
    jump = torch.where(step < 42, 3.0, 1.0)
    assert 40 <= halfway_step(step, jump) <= 45
    assert abruptness(step, jump) == 1
    line = step / 100
    assert halfway_step(step, line) == pytest.approx(50)
    assert abruptness(step, line, window=0.2) == pytest.approx(0.2)


@given(at=st.floats(0.2, 0.8), sharpness=st.floats(10, 200), up=st.booleans())
def test_a_sigmoid_is_dated_at_its_middle(at: float, sharpness: float, up: bool) -> None:
    step = torch.arange(0, 1001, 10)
    curve = torch.sigmoid(sharpness * (step / 1000 - at)) * (1 if up else -1)
    first, last = float(curve[0]), float(curve[-1])
    middle = 1000 * (at + math.log((mean := abs(first + last) / 2) / (1 - mean)) / sharpness)
    assert halfway_step(step, curve) == pytest.approx(middle, abs=5)


def test_a_flat_curve_has_no_date() -> None:
    with pytest.raises(ValueError, match="ends where it began"):
        halfway_step(torch.arange(3), torch.ones(3))


# Circuits -------------------------------------------------------------------------------------------


def test_readable_weights_are_what_a_head_reads_and_writes() -> None:
    model, tokens = tiny(), tokens_of()
    weights = readable_weights(model)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        norm, attention = model.blocks[1].ln1, model.blocks[1].attn
        residual = cache["resid_pre", 1]
        content = (residual - residual.mean(-1, keepdim=True)) / cache["scale", 1, "ln1"]
        positions = model.W_pos[: tokens.shape[1]]
        for letter in "QKV":
            shift = norm.b if letter == "V" else norm.b + positions
            rest = torch.einsum("...m,hmd->...hd", shift, getattr(attention, f"W_{letter}"))
            rest = rest + getattr(attention, f"b_{letter}")
            found = torch.einsum("bpm,hmd->bphd", content, getattr(weights, f"W_{letter}")[1]) + rest
            assert torch.allclose(found, cache[letter.lower(), 1], atol=1e-4)
        final = cache["resid_post", 1]
        final = (final - final.mean(-1, keepdim=True)) / cache["blocks.1.hook_resid_post"].std(
            -1, keepdim=True, unbiased=False
        )
        bias = model.ln_final.b @ model.W_U + model.b_U
        logits = final @ weights.W_U + bias
        assert torch.allclose(logits.log_softmax(-1), model(tokens).log_softmax(-1), atol=1e-3)
    assert weights.W_O.sum(-1).abs().max() < 1e-5
    with pytest.raises(ValueError, match="not 'RMS'"):
        readable_weights(tiny(normalization_type="RMS"))


def test_composition_equals_the_dense_products() -> None:
    weights = readable_weights(tiny())
    found = k_composition(weights)
    for out in range(3):
        for into in range(3):
            w_ov = weights.W_V[0, out] @ weights.W_O[0, out]
            w_qk = weights.W_Q[1, into] @ weights.W_K[1, into].T
            dense = (w_ov @ w_qk.T).norm() / (w_ov.norm() * w_qk.norm())
            assert float(found[out, into]) == pytest.approx(float(dense), rel=1e-4)


def test_random_heads_compose_by_one_over_root_d_model() -> None:
    model = tiny(d_model=64, d_head=8)
    found = random_k_composition(model, seed=0, draws=200)
    assert float(found.mean()) == pytest.approx(1 / 8, rel=0.02)
    assert found.equal(random_k_composition(model, seed=0, draws=200))


def test_copying_equals_the_eigenvalues_over_the_vocabulary() -> None:
    weights = readable_weights(tiny())
    found = copying_scores(weights)
    for layer in range(2):
        for head in range(3):
            full = weights.W_E @ weights.W_V[layer, head] @ weights.W_O[layer, head] @ weights.W_U
            values = torch.linalg.eigvals(full.double())
            dense = values.real.sum() / values.abs().sum()
            assert float(found[layer, head]) == pytest.approx(float(dense), abs=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_head_that_copies_scores_one_and_one_that_suppresses_minus_one(sign: float) -> None:
    weights = readable_weights(tiny(normalization_type=None))
    weights.W_O[1, 0] = sign * weights.W_V[1, 0].T
    weights = dataclasses.replace(weights, W_U=torch.linalg.pinv(weights.W_E))
    assert float(copying_scores(weights)[1, 0]) == pytest.approx(sign, abs=1e-3)


# Ablation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_patterns", [True, False])
def test_mean_ablation_by_hand(keep_patterns: bool) -> None:
    """Rebuild the ablated run from its pieces: layer 0 with one head's mean, layer 1 free or held."""
    model, tokens = tiny(), tokens_of()
    _, clean = model.run_with_cache(tokens)
    z = clean["z", 0].clone()
    z[:, :, 1] = z[:, :, 1].mean(0)
    resid = clean["resid_pre", 0] + torch.einsum("bphd,hdm->bpm", z, model.W_O[0]) + model.b_O[0]
    with torch.no_grad():
        normal = model.blocks[1].ln1(resid)
        values = torch.einsum("bpm,hmd->bphd", normal, model.W_V[1]) + model.b_V[1]
    with model.hooks(fwd_hooks=mean_ablation_hooks(model, tokens, [(0, 1)], keep_patterns)):
        _, ablated = model.run_with_cache(tokens)
    assert torch.allclose(ablated["resid_pre", 1], resid, atol=1e-5)
    held = ablated["pattern", 1].allclose(clean["pattern", 1], atol=1e-6)
    assert held is keep_patterns
    mixed = torch.einsum("bhqk,bkhd->bqhd", ablated["pattern", 1], values)
    assert torch.allclose(ablated["z", 1], mixed, atol=1e-5)


def test_the_model_is_whole_again_after_ablation() -> None:
    model, tokens = tiny(), tokens_of()
    before = model(tokens)
    with model.hooks(fwd_hooks=mean_ablation_hooks(model, tokens, [(0, 0), (1, 2)], True)):
        assert not model(tokens).allclose(before)
    assert model(tokens).equal(before)


def test_without_any_head_nothing_depends_on_the_context() -> None:
    model = tiny(n_layers=1)
    tokens = tokens_of(batch=6)
    tokens[:, 5] = 3  # the same token everywhere, in different company
    every = [(0, head) for head in range(3)]
    with model.hooks(fwd_hooks=mean_ablation_hooks(model, tokens, every, False)):
        logits = model(tokens)[:, 5]
    assert logits.allclose(logits[:1].expand_as(logits), atol=1e-5)


# By hand --------------------------------------------------------------------------------------------


@given(n_tokens=st.integers(3, 20), data=st.data(), seed=st.integers(0, 1000))
def test_hand_wired_weights_are_always_right(n_tokens: int, data: st.DataObject, seed: int) -> None:
    half = data.draw(st.integers(3, n_tokens))
    model = hand_wired_induction(n_tokens, 2 * half + 1 + data.draw(st.integers(0, 3)))
    tokens = solvable_blocks(8, half, n_tokens, torch.Generator().manual_seed(seed))
    assert induction_accuracy(model, tokens, half) == 1
    pattern = patterns(model, tokens)
    assert float(prefix_scores(pattern, half)[1, 0]) > 0.999
    assert float(previous_token_scores(pattern)[0, 0]) > 0.999


@pytest.mark.parametrize(
    "part", ["blocks.0.attn.W_Q", "blocks.0.attn.W_O", "blocks.1.attn.W_K", "blocks.1.attn.W_O"]
)
def test_hand_wired_weights_need_every_part(part: str) -> None:
    model = hand_wired_induction(16, 25)
    model.get_parameter(part).data.zero_()
    assert induction_accuracy(model, solvable_blocks(32, 12, 16, torch.Generator().manual_seed(0)), 12) < 0.5


def test_a_block_longer_than_the_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match="9 different tokens cannot be drawn from 8"):
        solvable_blocks(1, 9, 8, torch.Generator())


# GPT-2 ----------------------------------------------------------------------------------------------


def made_up_table() -> HeadTable:
    tables = []
    for known in (INDUCTION, PREVIOUS, DUPLICATE):
        scores = torch.rand(12, 12, generator=torch.Generator().manual_seed(0)) * 0.5
        for layer, head in known:
            scores[layer, head] = 0.9
        tables.append(scores)
    return HeadTable(*tables)


def test_known_heads_are_counted() -> None:
    table = made_up_table()
    assert table.found() == 9
    table.previous[4, 11] = 0
    assert table.found() == 8
    assert HeadTable(*[torch.rand(12, 12, generator=torch.Generator().manual_seed(1))] * 3).found() < 8


def test_top_heads_are_in_order() -> None:
    assert top_heads(torch.tensor([[0.1, 0.5], [0.9, 0.2]]), 3) == [(1, 0), (0, 1), (1, 1)]


def test_the_table_of_a_model_puts_the_bos_first() -> None:
    model = hand_wired_induction(60, 101)
    table = head_table(model, seed=0, half=20)
    assert float(table.previous[0, 0]) > 0.99
    assert (
        float(table.induction[1, 0]) > 0.7
    )  # some tokens stand twice in a block: those have two right places
    assert float(table.duplicate.max()) < 0.3
