"""Directions against the decomposition of whole matrices, and tokens against sorting every score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope.techniques.svd import neuron_tokens, read_in_vocabulary, singular_directions
from tests.model.letters import Letters
from tests.model.tiny import VARIANTS, exact_model


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_heads_directions_rebuild_its_matrix(variant: str) -> None:
    model = exact_model(variant, seed=2)
    writes = singular_directions(model, 1, 2, "OV", n=8)
    reads = singular_directions(model, 1, 2, "OV input", n=8)
    block = model.blocks[1]
    with torch.no_grad():
        W_V, W_O = block.attn.W_V[2], block.attn.W_O[2]
        if getattr(block.ln1, "w", None) is not None:
            W_V = block.ln1.w[:, None] * W_V
        if getattr(block.ln1, "centre", False):
            W_V = W_V - W_V.mean(0)
        if block.ln1_post is not None:
            W_O = W_O * block.ln1_post.w
        whole = W_V @ W_O
    # Both calls decompose the same matrix, so their signs agree.
    strength = torch.tensor(writes.strength.values.values)
    torch.testing.assert_close(
        reads.directions.mT * strength @ writes.directions, whole, atol=1e-4, rtol=1e-4
    )
    assert (strength[:-1] >= strength[1:]).all()


@pytest.mark.parametrize("part", ["w_in", "w_out"])
@pytest.mark.parametrize("variant", ["plain", "no norm", "gated", "norms before and after"])
def test_an_mlps_directions_are_orthonormal_and_as_strong_as_they_say(variant: str, part: str) -> None:
    model = exact_model(variant, seed=3)
    found = singular_directions(model, 0, part=part, n=5)  # type: ignore[arg-type]
    torch.testing.assert_close(
        found.directions @ found.directions.mT, torch.eye(5, dtype=torch.float64), atol=1e-4, rtol=0
    )
    if variant == "no norm":
        weights = model.blocks[0].mlp.W_in.mT if part == "w_in" else model.blocks[0].mlp.W_out
        sizes = (weights.detach() @ found.directions.mT).norm(dim=0)
        np.testing.assert_allclose(found.strength.values, sizes, rtol=1e-4)


def test_tokens_are_those_of_all_scores_sorted() -> None:
    model = exact_model("no norm")
    directions = torch.randn(3, 24, dtype=torch.float64)
    found = read_in_vocabulary(model, directions, top=4)
    scores = directions / directions.norm(dim=-1, keepdim=True) @ model.W_U.detach()
    scores = scores - scores.mean(-1, keepdim=True)
    order = scores.argsort(-1, descending=True)
    assert torch.equal(found.top_tokens, order[:, :4])
    assert torch.equal(found.bottom_tokens, order[:, -4:].flip(-1))
    expected = torch.cat([scores.gather(1, order[:, :4]), scores.gather(1, order[:, -4:])], 1)
    np.testing.assert_allclose(found.logits.values, expected, atol=1e-5)
    np.testing.assert_allclose(found.strength.values, directions.norm(dim=-1), rtol=1e-5)
    read = read_in_vocabulary(model, directions, top=1, side="read").top_tokens[:, 0]
    assert torch.equal(read, (directions @ model.W_E.detach().mT).argmax(-1))


def test_neurons() -> None:
    model = exact_model("no norm")
    found = neuron_tokens(model, 1, [7, 3], top=2)
    logits = model.blocks[1].mlp.W_out[[7, 3]] @ model.W_U
    assert torch.equal(found.top_tokens[:, 0], logits.argmax(-1))


@pytest.mark.parametrize("kind", [int, np.int64, lambda number: torch.tensor(number)])
def test_one_neuron_by_its_number(kind) -> None:
    model = exact_model("no norm")
    model.set_tokenizer(Letters())
    one, listed = neuron_tokens(model, kind(1), kind(7), top=2), neuron_tokens(model, 1, [7], top=2)
    assert torch.equal(one.top_tokens, listed.top_tokens)
    assert one.logits.title == "What neuron 7 of m1 writes" and one.strength.unit == "norm"
    assert "  ".join(one.top_texts[0]) in repr(one) and one.top_texts[0][0] in Letters.alphabet + "␣?"
    with pytest.raises(ValueError, match="from 0 to"):
        neuron_tokens(model, 1, 10_000)


def test_the_figure_tells_both_ends() -> None:
    model = exact_model()
    model.set_tokenizer(Letters())
    found = singular_directions(model, 0, 0, n=3, top=2)
    text = found.figure().data[0].text
    assert tuple(text[0][:2]) == found.top_texts[0]
    assert text[0][3] == found.bottom_texts[0][0]
    assert "a0.h0" in found.figure().layout.title.text


def test_the_bundled_models_heads_read() -> None:
    assert len(singular_directions(ms.load_model("induction-2l"), 1, 0).top_texts) == 10


def test_mistakes_are_explained() -> None:
    model = exact_model()
    for arguments, message in (
        ({"part": "QK"}, "one of OV"),
        ({}, "needs a head"),
        ({"head": 4}, "no head 4"),
        ({"head": 0, "n": 9}, "between 1 and 8"),
        ({"head": 0, "part": "w_in"}, "leave head out"),
    ):
        with pytest.raises(ValueError, match=message):
            singular_directions(model, 0, **arguments)
    with pytest.raises(ValueError, match="attention-only"):
        singular_directions(exact_model("attention only"), 0, part="w_out")
    with pytest.raises(ValueError, match="attention-only"):
        singular_directions(exact_model("attention only"), 0, part="w_in")
    with pytest.raises(ValueError, match="0 to 39"):
        neuron_tokens(model, 0, [40])
    with pytest.raises(ValueError, match="is 0 or not finite"):
        read_in_vocabulary(model, torch.zeros(1, 24))
    with pytest.raises(ValueError, match="rank 24"):
        read_in_vocabulary(model, torch.ones(24))
