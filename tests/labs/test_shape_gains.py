"""What a shape is worth: against closed forms, and against networks trained from it."""

from __future__ import annotations

import pytest
import torch

from mechscope.labs.superposition.phase_diagram import ideal_losses
from mechscope.labs.superposition.shape_gains import SHAPES, best_shapes, cosines, gains, largest_lead

DENSITY = (0.9, 0.7, 0.45, 0.21, 0.08)


@pytest.fixture(scope="module")
def found() -> dict[str, torch.Tensor]:
    return gains(DENSITY)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_feature_of_a_shape_has_its_share_of_the_room(shape: str) -> None:
    count, dimensions = SHAPES[shape]
    row = cosines(shape)
    assert row.shape == (count,)
    assert row[0] == pytest.approx(1, abs=1e-6)
    assert float(row.square().sum()) == pytest.approx(count / dimensions, rel=1e-5)


def test_a_dimension_of_its_own_saves_the_whole_variance(found: dict[str, torch.Tensor]) -> None:
    assert found["one each"].tolist() == pytest.approx([1] * len(DENSITY), abs=1e-6)


def test_a_pair_is_worth_a_little_more_than_its_closed_form_without_scale_and_bias(
    found: dict[str, torch.Tensor],
) -> None:
    for p, gain in zip(DENSITY, found["pair"].tolist(), strict=True):
        variance = p / 3 - p**2 / 4
        both = float(ideal_losses(torch.tensor(p), torch.tensor(1.0))[-1])
        plain = (2 * variance - both) / variance
        assert plain - 1e-3 <= gain <= 2, p
        if p < 0.3:
            assert gain == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_scale_and_bias_on_fresh_features_beat_what_was_found(
    seed: int, found: dict[str, torch.Tensor]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    p, row = 0.21, cosines("pentagon").double()
    x = torch.rand(60_000, 5, generator=generator).double()
    x *= torch.rand(60_000, 5, generator=generator) < p
    tried = [
        float(((scale * x @ row + bias).relu() - x[:, 0]).square().mean())
        for scale in torch.linspace(0.6, 1.6, 21).tolist()
        for bias in torch.linspace(-0.4, 0.1, 21).tolist()
    ]
    variance = p / 3 - p**2 / 4
    by_hand = 5 * (variance - min(tried)) / 2 / variance
    assert float(found["pentagon"][DENSITY.index(p)]) == pytest.approx(by_hand, abs=0.02)


def test_the_best_shape_changes_with_density(found: dict[str, torch.Tensor]) -> None:
    assert best_shapes(found) == ["tetrahedron", "triangle", "pair", "pentagon", "square antiprism"]
    assert 0 < largest_lead(found, "triangle") < 5
    assert largest_lead(found, "one each") == 0


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5])
def test_a_density_is_a_probability(wrong: float) -> None:
    with pytest.raises(ValueError, match=str(wrong)):
        gains([0.5, wrong])
