"""Scores against whole matrices, and the baseline against matrices that really are random."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope.techniques.composition import composition_scores, random_composition
from tests.model.tiny import exact_model


def whole_scores(model: torch.nn.Module, kind: str, out: tuple[int, int], into: tuple[int, int]) -> float:
    """The definition, with every matrix multiplied out and the norm's scale and centring written as matrices."""

    def reads(layer: int, name: str) -> torch.Tensor:
        block = model.blocks[layer]
        d = model.cfg.d_model
        eye = torch.eye(d, dtype=model.cfg.dtype)
        centre = eye - 1 / d if getattr(block.ln1, "centre", False) else eye
        scale = getattr(block.ln1, "w", None)
        scale = eye if scale is None else torch.diag(scale)
        return centre @ scale @ getattr(block.attn, name)

    def writes(layer: int) -> torch.Tensor:
        norm = model.blocks[layer].ln1_post
        return model.blocks[layer].attn.W_O if norm is None else model.blocks[layer].attn.W_O * norm.w

    with torch.no_grad():
        W_OV = reads(out[0], "W_V")[out[1]] @ writes(out[0])[out[1]]
        if getattr(model.blocks[0].ln1, "centre", False):
            W_OV = W_OV - W_OV.mean(-1, keepdim=True)
        layer, head = into
        W_Q, W_K = reads(layer, "W_Q")[head], reads(layer, "W_K")[head]
        read = {
            "Q": W_Q @ W_K.T,
            "K": W_K @ W_Q.T,
            "V": reads(layer, "W_V")[head] @ writes(layer)[head],
        }[kind]
        return float((W_OV @ read).norm() / W_OV.norm() / read.norm())


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
@pytest.mark.parametrize("variant", ["plain", "no norm", "RMS", "LNPre", "grouped", "norms before and after"])
def test_scores_of_whole_matrices(variant: str, kind: str) -> None:
    model = exact_model(variant, seed=7, n_layers=3)
    found = composition_scores(model, kind, draws=2, progress=False).scores.values  # type: ignore[arg-type]
    assert found.dims == ("head_out", "head_in")
    for out in ((0, 1), (1, 3)):
        for into in ((1, 0), (2, 2)):
            value = float(found.sel(head_out=f"a{out[0]}.h{out[1]}", head_in=f"a{into[0]}.h{into[1]}"))
            if out[0] < into[0]:
                assert value == pytest.approx(whole_scores(model, kind, out, into), rel=1e-4)
            else:
                assert np.isnan(value)


def test_chance_is_one_over_the_root_of_the_width() -> None:
    generator = torch.Generator().manual_seed(random.randrange(10_000))
    left, right = torch.rand(3, 8), torch.rand(4, 8) ** 4
    drawn = random_composition(left, right, 40, 400, generator)
    assert drawn.shape == (400, 3, 4)
    np.testing.assert_allclose((drawn**2).mean(0), 1 / 40, rtol=0.1)


def test_the_baseline_is_that_of_random_heads() -> None:
    """Heads whose weights are random score as the baseline says, mean and spread."""
    found = composition_scores(
        exact_model("no norm", seed=random.randrange(1000), d_model=64, n_heads=8, d_head=6),
        "K",
        draws=32,
        progress=False,
    )
    excess = found.excess.values.values
    assert abs(excess.mean()) < 0.6
    assert 0.7 < excess.std() < 1.4


def test_a_planted_pair_stands_out() -> None:
    model = exact_model("no norm", d_model=64, d_head=6)
    with torch.no_grad():
        model.blocks[1].attn.W_K[2] = model.blocks[0].attn.W_O[1].T
    found = composition_scores(model, "K", draws=8, progress=False)
    assert found.top(1)[0][:2] == ("a0.h1", "a1.h2")
    assert found.top(1)[0][2] > 0.3
    assert float(found.excess.values.sel(head_out="a0.h1", head_in="a1.h2")) > 5
    for kind in ("Q", "V"):
        other = composition_scores(model, kind, draws=8, progress=False).excess.values  # type: ignore[arg-type]
        assert float(other.sel(head_out="a0.h1", head_in="a1.h2")) < 5


def test_the_bundled_model_composes_by_keys() -> None:
    model = ms.load_model("induction-2l")
    found = composition_scores(model, "K", draws=8, progress=False)
    assert float(found.excess.values.max()) > 5
    assert len(found.figure().data) == 2


def test_draws_repeat_with_the_seed() -> None:
    model = exact_model()
    first, again, other = (composition_scores(model, draws=3, seed=s, progress=False) for s in (1, 1, 2))
    assert first.baseline.values.equals(again.baseline.values)
    assert not first.baseline.values.equals(other.baseline.values)


def test_mistakes_are_explained() -> None:
    with pytest.raises(ValueError, match="'Q', 'K' or 'V'"):
        composition_scores(exact_model(), "k")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one layer"):
        composition_scores(exact_model(n_layers=1))
    with pytest.raises(ValueError, match="draws must be at least 2"):
        composition_scores(exact_model(), draws=1)
