"""Synthetic activations: who is present with whom, and how often."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import synthetic

N = 40_000


def presence(features, seed=1, n=N):
    x, coefficients = features.sample(n, torch.Generator().manual_seed(seed))
    assert_close(x, coefficients @ features.directions)
    again = features.sample(n, torch.Generator().manual_seed(seed))
    assert torch.equal(again[0], x)
    return (coefficients > 0).float(), coefficients


def correlation(present):
    return torch.corrcoef(present.T)


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def test_independent(draw):
    features = synthetic.independent(6, 20, 4.0, draw)
    present, coefficients = presence(features)
    assert float(present.sum(1).mean()) == pytest.approx(4.0, abs=0.05)
    assert float(correlation(present).fill_diagonal_(0).abs().max()) < 0.03
    strengths = coefficients[coefficients > 0]
    assert 0.5 <= float(strengths.min()) < 0.51 and 1.49 < float(strengths.max()) <= 1.5
    assert_close(features.directions.norm(dim=-1), torch.ones(20))


def test_power_law(draw):
    present, _ = presence(synthetic.power_law(6, 20, 3.0, draw, exponent=1.0))
    often = present.mean(0)
    assert float(often[0] / often[9]) == pytest.approx(10.0, rel=0.15)
    assert float(often.sum()) == pytest.approx(3.0, abs=0.05)


def test_correlated(draw):
    present, _ = presence(synthetic.correlated(6, 20, 4.0, draw, group=4, together=0.6))
    r = correlation(present)
    assert float(r[0, 1]) > 0.25 and float(r[4, 7]) > 0.25
    assert abs(float(r[0, 4])) < 0.03
    assert_close(present.mean(0), torch.full((20,), 0.2), rtol=0, atol=0.01)


def test_anticorrelated(draw):
    present, _ = presence(synthetic.anticorrelated(6, 20, 2.5, draw, group=4))
    assert float(present.view(N, 5, 4).sum(2).max()) == 1
    assert float(correlation(present)[0, 1]) < -0.05
    assert_close(present.mean(0), torch.full((20,), 0.125), rtol=0, atol=0.01)


def test_hierarchical(draw):
    present, _ = presence(synthetic.hierarchical(6, 20, 3.2, draw, children=3, inherited=0.2))
    families = present.view(N, 5, 4)
    parent, child = families[:, :, :1], families[:, :, 1:]
    assert not bool((child > parent).any())
    assert float((child * parent).sum() / (3 * parent.sum())) == pytest.approx(0.2, abs=0.01)
    assert float(present.sum(1).mean()) == pytest.approx(3.2, abs=0.05)


def test_sharkey(draw):
    features = synthetic.sharkey(draw)
    assert features.directions.shape == (512, 256)
    present, coefficients = presence(features, n=10_000)
    assert float(present.sum(1).mean()) == pytest.approx(5.0, abs=0.2)
    often = present.mean(0)
    assert float(often[:50].mean() / often[200:250].mean()) == pytest.approx(0.99**-200, rel=0.15)
    r = correlation(present[:, :60]).fill_diagonal_(0)
    assert float(r.abs().max()) > 0.1
    assert float(coefficients.max()) <= 1.0


def test_toy_model_space():
    W = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 0.5]])
    features = synthetic.toy_model_space(W, 0.25)
    present, coefficients = presence(features)
    assert_close(present.mean(0), torch.full((3,), 0.25), rtol=0, atol=0.01)
    x, _ = features.sample(N, torch.Generator().manual_seed(1))
    assert_close(x, coefficients @ W.T)


def test_impossible_worlds_are_errors(draw):
    with pytest.raises(ValueError, match="most frequent one would have the probability 1.20"):
        synthetic.independent(6, 5, 6.0, draw)
    with pytest.raises(ValueError, match="20 features cannot be divided into groups of 3"):
        synthetic.correlated(6, 20, 2.0, draw, group=3)
    with pytest.raises(ValueError, match="at most 5 features"):
        synthetic.anticorrelated(6, 20, 6.0, draw)
    with pytest.raises(ValueError, match="inherited"):
        synthetic.hierarchical(6, 20, 2.0, draw, inherited=0.0)
    with pytest.raises(ValueError, match="density"):
        synthetic.toy_model_space(torch.ones(2, 2), 0.0)
