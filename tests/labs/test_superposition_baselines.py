"""The linear maps that toy models are compared with, and rotations that change nothing."""

from __future__ import annotations

import pytest
import torch

from mechscope.checkpoints.toy_networks import FeatureKind, Group
from mechscope.labs.superposition.geometry import angles, dimensionality, turned
from mechscope.labs.superposition.linear_baseline import best_linear_losses, feature_covariance
from mechscope.labs.superposition.sparse_features import draw_features
from mechscope.labs.superposition.training import batch_for, geometric

# The best linear map ---------------------------------------------------------------------------------


def group_of(kind: FeatureKind, density: tuple[float, ...], n: int = 6, m: int = 2, **changes) -> Group:
    settings = {"starts": 1, "steps": 0, "batch": 200_000, "features": kind, **changes}
    return Group("some", n, m, density, geometric(n, 0.8, len(density)), **settings)


@pytest.mark.parametrize("kind", ["independent", "signed", "correlated", "anticorrelated"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_covariance_is_that_of_the_features(kind: FeatureKind, seed: int) -> None:
    drawn = draw_features(kind, torch.tensor([0.3]), 6, 200_000, torch.Generator().manual_seed(seed))[
        0
    ].double()
    torch.testing.assert_close(torch.cov(drawn), feature_covariance(kind, 0.3, 6), atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", ["independent", "correlated", "anticorrelated"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_linear_map_is_the_best_of_those_fitted_to_data(kind: FeatureKind, seed: int) -> None:
    """Reduced-rank regression on samples reaches the closed form, and no random map comes below it."""
    group = group_of(kind, (0.4, 0.1))
    weight = torch.tensor(group.importance[0]).double().sqrt()
    x = batch_for(group, seed, 0, torch.device("cpu"))[0].double()
    for sample, expected in zip(x, best_linear_losses(group), strict=True):
        scaled = weight[:, None] * (sample - sample.mean(1, keepdim=True))
        directions = torch.linalg.svd(scaled, full_matrices=False).U[:, :2]
        lost = (scaled - directions @ (directions.T @ scaled)).square().sum(0).mean()
        torch.testing.assert_close(lost, expected, rtol=0.02, atol=0)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(5):
            other = torch.linalg.qr(torch.randn(6, 2, generator=generator, dtype=torch.float64)).Q
            assert (scaled - other @ (other.T @ scaled)).square().sum(0).mean() > expected


def test_the_best_linear_map_by_hand() -> None:
    # p = 1: uniform on [0, 1], variance 1/12; the two most important of three are kept, the third is worth 0.64.
    assert float(best_linear_losses(group_of("independent", (1.0,), n=3))[0]) == pytest.approx(0.64 / 12)
    # Nothing linear tells |x| from x: all six are answered with their mean.
    everything = sum(0.8**i for i in range(6)) * (0.5 / 3 - 0.25 / 4)
    assert float(best_linear_losses(group_of("signed", (0.5,)))[0]) == pytest.approx(everything)
    assert float(best_linear_losses(group_of("independent", (0.5,), n=3, m=3))[0]) == 0


# Turning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("shape", [(4, 2, 5), (1, 2), (3, 2, 3, 7)])
def test_turning_changes_nothing_that_counts(seed: int, shape: tuple[int, ...]) -> None:
    W = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    seen = turned(W)
    torch.testing.assert_close(seen.mT @ seen, W.mT @ W)
    torch.testing.assert_close(dimensionality(seen), dimensionality(W))
    # Feature 0 lies on the first axis, feature 1 above it.
    assert bool((seen[..., 0, 0] > 0).all())
    assert bool((seen[..., 1:, 0].abs() < 1e-6).all())
    assert shape[-2] == 1 or bool((seen[..., 1, 1] > 0).all())


def test_networks_that_differ_by_a_turn_become_one() -> None:
    W = torch.randn(2, 5, generator=torch.Generator().manual_seed(3))
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(4))).Q
    torch.testing.assert_close(turned(turn @ W), turned(W))
    torch.testing.assert_close(angles(turned(W)).sum(), torch.tensor(360.0))
