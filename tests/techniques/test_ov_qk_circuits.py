"""Circuits against the same matrices multiplied out, and against what a real pass does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.techniques._folded_weights import embedding
from mechscope.techniques.ov_qk_circuits import (
    copying_scores,
    eigenvalue_score,
    full_circuit,
    top_entries,
    top_token_pairs,
)
from tests.model.tiny import VARIANTS, exact_model


@pytest.mark.parametrize("variant", ["plain", "LNPre", "RMS", "no norm", "grouped", "norms before and after"])
def test_ov_is_what_attending_to_a_token_adds_to_the_logits(variant: str) -> None:
    """One token alone attends to itself: the difference between two tokens' logits through the head."""
    model = exact_model(variant, seed=2)
    layer, head = 0, 2
    tokens = torch.arange(30)
    with torch.no_grad():
        names = ["blocks.0.ln1.hook_scale", "ln_final.hook_scale", "blocks.0.ln1_post.hook_scale"]
        _, cache = model.run_with_cache(
            tokens[:, None], names_filter=["hook_embed", *[n for n in names if n in model.hook_dict]]
        )
        embed = cache["hook_embed"][:, 0]
        block = model.blocks[layer]

        def norm_without_scale(norm, x):
            if not hasattr(norm, "hook_scale"):
                return x
            x = x - x.mean(-1, keepdim=True) if norm.centre else x
            return x if norm.w is None else x * norm.w

        z = norm_without_scale(block.ln1, embed) @ block.attn.W_V[head]
        out = z @ block.attn.W_O[head]
        if block.ln1_post is not None:
            out = norm_without_scale(block.ln1_post, out)
        logits = norm_without_scale(model.ln_final, out) @ model.W_U
        expected = logits - logits.mean(-1, keepdim=True)
    torch.testing.assert_close(full_circuit(model, layer, head).AB, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", ["plain", "no norm", "grouped", "rotary", "shortformer"])
def test_qk_is_the_attention_score_between_tokens(variant: str) -> None:
    model = exact_model(variant, seed=3)
    head = 1
    with torch.no_grad():
        for part in ("b_Q", "_b_K" if variant == "grouped" else "b_K"):
            getattr(model.blocks[0].attn, part).zero_()
        if hasattr(model, "pos_embed"):
            model.pos_embed.W_pos.zero_()
        if hasattr(model.blocks[0].ln1, "b"):
            model.blocks[0].ln1.b.zero_()
        _, cache = model.run_with_cache(torch.tensor([[4, 7]]))
        score = cache["attn_scores", 0][0, head]
        scale = cache["scale", 0, "ln1"][0, :, 0] if variant != "no norm" else torch.ones(2)
    found = full_circuit(model, 0, head, "QK").AB
    # A rotary score depends on the distance; at distance 0 it is the circuit's.
    assert float(score[1, 1]) == pytest.approx(float(found[7, 7] / scale[1] ** 2), rel=1e-3, abs=1e-4)
    if variant != "rotary":
        assert float(score[1, 0]) == pytest.approx(
            float(found[7, 4] / (scale[1] * scale[0])), rel=1e-3, abs=1e-4
        )


@pytest.mark.parametrize("circuit", ["OV", "QK"])
@pytest.mark.parametrize("variant", ["plain", "grouped"])
def test_top_pairs_are_those_of_the_whole_matrix(variant: str, circuit: str) -> None:
    model = exact_model(variant, seed=4)
    whole = full_circuit(model, 1, 3, circuit).AB  # type: ignore[arg-type]
    for largest in (True, False):
        found = top_token_pairs(model, 1, 3, circuit, 11, largest=largest, block=7)  # type: ignore[arg-type]
        expected = whole.flatten().topk(11, largest=largest)
        np.testing.assert_allclose(found.values.values, expected.values, rtol=1e-5)
        torch.testing.assert_close(whole[found.rows, found.columns], expected.values)


def test_more_pairs_than_there_are() -> None:
    values, rows, _ = top_entries(FactoredMatrix(torch.randn(2, 1), torch.randn(1, 3)), 50, block=1)
    assert len(values) == len(rows) == 6


@pytest.mark.parametrize("variant", VARIANTS)
def test_copying_scores_are_those_of_the_whole_matrix(variant: str) -> None:
    model = exact_model(variant, seed=5)
    found = copying_scores(model).values
    for layer in range(2):
        for head in range(4):
            values = torch.linalg.eigvals(full_circuit(model, layer, head).AB.double())
            expected = values.real.sum() / values.abs().sum()
            assert float(found.sel(layer=layer, head=head)) == pytest.approx(float(expected), abs=1e-3)


def test_a_head_made_to_copy_scores_one() -> None:
    model = exact_model("no norm", d_vocab=8, d_model=24, d_head=8)
    block = model.blocks[0].attn
    with torch.no_grad():
        basis = torch.linalg.qr(torch.randn(24, 8)).Q
        model.W_E.copy_(basis.T)
        model.unembed.W_U.copy_(basis)
        block.W_V[0], block.W_O[0] = basis, basis.T
        block.W_V[1], block.W_O[1] = basis, -basis.T
    found = copying_scores(model).values
    # One direction, the mean over the vocabulary, is invisible to a softmax.
    assert float(found.sel(layer=0, head=0)) == pytest.approx(1, abs=1e-4)
    assert float(found.sel(layer=0, head=1)) == pytest.approx(-1, abs=1e-4)
    assert float(eigenvalue_score(FactoredMatrix(torch.zeros(3, 1), torch.zeros(1, 3)))) == 0


def test_the_bundled_models_induction_heads_copy() -> None:
    found = copying_scores(ms.load_model("induction-2l")).values
    assert float(found.sel(layer=1).min()) > 0.5


def test_the_embedding_through_the_first_mlp() -> None:
    model = exact_model("no norm", positional_embedding_type="rotary")
    with torch.no_grad():
        model.blocks[0].attn.W_O.zero_()
        model.blocks[0].attn.b_O.zero_()
        after = model(torch.arange(30)[:, None], stop_at_layer=1)[:, 0]
    torch.testing.assert_close(embedding(model, through="mlp0"), after)
    wide = full_circuit(model, 1, 0, through="mlp0")
    assert not torch.allclose(wide.AB, full_circuit(model, 1, 0).AB)


def test_the_figure_names_the_pairs() -> None:
    pairs = top_token_pairs(exact_model(), 0, 0, k=5)
    figure = pairs.figure()
    assert figure.layout.yaxis.ticktext[0] == f"{int(pairs.rows[0])} → {int(pairs.columns[0])}"


def test_mistakes_are_explained() -> None:
    model = exact_model("query/key norm")
    with pytest.raises(ValueError, match="normalises queries and keys"):
        full_circuit(model, 0, 0, "QK")
    with pytest.raises(ValueError, match="'OV' or 'QK'"):
        full_circuit(model, 0, 0, "VO")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no head 9"):
        top_token_pairs(model, 0, 9)
    with pytest.raises(ValueError, match="at least 1"):
        top_token_pairs(model, 0, 0, k=0)
    with pytest.raises(ValueError, match="attention-only"):
        copying_scores(exact_model("attention only"), through="mlp0")
    with pytest.raises(ValueError, match="choose a head"):
        top_entries(full_circuit(model, 0), 3)
