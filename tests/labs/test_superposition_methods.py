"""Step 01's methods against autograd, brute force and cases worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.checkpoints.toy_networks import FeatureKind, Group, ModelKind, ToyModels, TrainedGroup
from mechscope.labs.superposition.adversarial import attack_directions, vulnerability
from mechscope.labs.superposition.geometry import (
    angles,
    dimensionality,
    dimensions_per_feature,
    polytopes,
    represented,
)
from mechscope.labs.superposition.gradients import gradients, initial_models, losses
from mechscope.labs.superposition.measures import largest_share, monosemantic_share
from mechscope.labs.superposition.phase_diagram import (
    BETWEEN,
    IGNORES_0,
    IGNORES_1,
    SUPERPOSED,
    boundary,
    ideal_losses,
    phase_of,
)
from mechscope.labs.superposition.sparse_features import draw_features
from mechscope.labs.superposition.training import batch_for, geometric, train_group
from mechscope.runs.workspace import Workspace

SEEDS = st.integers(0, 2**31)
KINDS: tuple[ModelKind, ...] = ("linear", "relu", "untied")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_models(kind: ModelKind, seed: int, dtype: torch.dtype = torch.float32) -> ToyModels:
    models = initial_models(kind, 2, 3, 4, 6, generator(seed))
    b = 0.1 * torch.randn(2, 3, 6, generator=generator(seed + 1))
    W_out = torch.randn(2, 3, 4, 6, generator=generator(seed + 2)) if kind == "untied" else models.W_out
    return dataclasses.replace(models, W=models.W.to(dtype), b=b.to(dtype), W_out=W_out.to(dtype))


def regular_polygon(corners: int, turn: float = 0.3) -> torch.Tensor:
    angle = turn + 2 * math.pi * torch.arange(corners) / corners
    return torch.stack([angle.cos(), angle.sin()])


# Data -----------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_independent_features_have_the_density_and_strength_of_their_definition(seed: int) -> None:
    x = draw_features("independent", torch.tensor([1.0, 0.2]), 4, 20_000, generator(seed))
    present = x > 0
    assert torch.allclose(present.float().mean((1, 2)), torch.tensor([1.0, 0.2]), atol=0.02)
    assert x[present].mean() == pytest.approx(0.5, abs=0.02)
    assert x[1][present[1]].var() == pytest.approx(1 / 12, abs=0.005)
    together = (present[1, 0] & present[1, 1]).float().mean()
    assert float(together) == pytest.approx(0.04, abs=0.015)


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_pairs_come_together_or_exclude_each_other(seed: int) -> None:
    p = torch.tensor([0.3])
    together = draw_features("correlated", p, 4, 10_000, generator(seed))[0]
    assert bool(((together[0] > 0) == (together[1] > 0)).all())
    assert not bool(((together[0] > 0) == (together[2] > 0)).all())
    assert float(torch.corrcoef(together[:2, together[0] > 0])[0, 1]) == pytest.approx(0, abs=0.08)
    apart = draw_features("anticorrelated", p, 4, 10_000, generator(seed))[0]
    assert not bool(((apart[0] > 0) & (apart[1] > 0)).any())
    for x in (together, apart):
        assert (x > 0).float().mean(1).tolist() == pytest.approx([0.3] * 4, abs=0.03)
    signed = draw_features("signed", p, 4, 10_000, generator(seed))[0]
    assert float(signed.mean()) == pytest.approx(0, abs=0.02)
    assert float(signed.min()) < -0.9


@pytest.mark.parametrize(
    ("kind", "density", "features"),
    [("independent", 1.2, 4), ("independent", 0.0, 4), ("anticorrelated", 0.6, 4), ("correlated", 0.1, 3)],
)
def test_impossible_data_is_refused(kind: FeatureKind, density: float, features: int) -> None:
    with pytest.raises(ValueError, match=r"densities|pairs"):
        draw_features(kind, torch.tensor([density]), features, 8, generator(0))


# Models and gradients -------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_one_network_at_a_time(kind: ModelKind, seed: int) -> None:
    models = random_models(kind, seed, torch.float64)
    x = torch.rand(2, 6, 5, generator=generator(seed)).double()
    y = models(x)
    for k in range(2):
        for s in range(3):
            h = models.W[k, s] @ x[k]
            h = h if kind == "linear" else h.relu()
            alone = (models.W_out[k, s].T @ h + models.b[k, s][:, None]).relu()
            assert torch.allclose(y[k, s], alone, atol=1e-12)
            assert torch.allclose(models.select(k, s)(x[k : k + 1])[0, 0], alone, atol=1e-12)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_hand_are_those_of_autograd(kind: ModelKind, seed: int) -> None:
    models = random_models(kind, seed)
    x = draw_features("signed", torch.tensor([0.5, 1.0]), 6, 32, generator(seed))
    importance = torch.rand(2, 6, generator=generator(seed)) + 0.1
    W, b = models.W.clone().requires_grad_(), models.b.clone().requires_grad_()
    W_out = models.W_out.clone().requires_grad_() if kind == "untied" else W
    h = torch.einsum("dsmn,dnb->dsmb", W, x)
    h = h if kind == "linear" else h.relu()
    y = (torch.einsum("dsmn,dsmb->dsnb", W_out, h) + b[..., None]).relu()
    loss = (importance[:, None, :, None] * (y - x.abs()[:, None]) ** 2).sum(2).mean(-1)
    loss.sum().backward()
    ours = gradients(models, x, x.abs(), importance)
    assert torch.allclose(losses(models, x, x.abs(), importance), loss.detach(), rtol=1e-4)
    assert W.grad is not None
    assert b.grad is not None
    assert torch.allclose(ours.W, W.grad, atol=1e-5)
    assert torch.allclose(ours.b, b.grad, atol=1e-5)
    if kind == "untied":
        assert ours.W_out is not None
        assert W_out.grad is not None
        assert torch.allclose(ours.W_out, W_out.grad, atol=1e-5)
    else:
        assert ours.W_out is None


# Geometry -------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_dimensionality_is_its_definition(seed: int) -> None:
    W = torch.randn(3, 7, generator=generator(seed))
    unit = W / W.norm(dim=0)
    by_hand = [
        float(W[:, i].square().sum() / sum((unit[:, i] @ W[:, j]) ** 2 for j in range(7))) for i in range(7)
    ]
    assert dimensionality(W).tolist() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("corners", [3, 4, 5, 6])
def test_a_regular_polygon_shares_the_plane_evenly(corners: int) -> None:
    W = regular_polygon(corners)
    assert dimensionality(W).tolist() == pytest.approx([2 / corners] * corners, abs=1e-5)
    assert angles(W).tolist() == pytest.approx([360 / corners] * corners, abs=1e-3)
    assert float(dimensions_per_feature(W)) == pytest.approx(2 / corners)


def test_polytopes_are_found_in_a_rotated_direct_sum() -> None:
    W = torch.zeros(6, 10)
    W[0, 0] = 1.0  # alone
    W[1, 1], W[1, 2] = 1.0, -0.95  # an antipodal pair
    W[2:4, 3:8] = regular_polygon(5)
    W[4, 8] = 0.2  # too weak to count
    W[5, 9] = 1.0  # alone too
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator(5))).Q
    found = polytopes(turn @ W)
    assert [(p.features, p.dimensions) for p in found] == [
        ((0,), 1),
        ((1, 2), 1),
        ((3, 4, 5, 6, 7), 2),
        ((9,), 1),
    ]
    assert [p.dimensionality for p in found] == pytest.approx([1, 0.5, 0.4, 1], abs=0.01)
    assert represented(W).tolist() == [True] * 8 + [False, True]


def test_a_feature_without_direction_has_no_dimension() -> None:
    assert dimensionality(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="plane"):
        angles(torch.ones(3, 2))


# The closed form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("importance", [0.3, 1.0, 4.0])
def test_ideal_losses_are_what_the_networks_lose(importance: float) -> None:
    p = torch.tensor([0.4])
    x = draw_features("independent", p, 2, 400_000, generator(3))
    W = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, -1.0]]])[None]
    b = torch.tensor([[0.0, 0.2], [0.2, 0.0], [0.0, 0.0]])[None]
    measured = losses(ToyModels("linear", W, W, b), x, x, torch.tensor([[1.0, importance]]))[0]
    ideal = ideal_losses(p, torch.tensor([importance]))[:, 0]
    assert measured.tolist() == pytest.approx(ideal.tolist(), rel=0.02)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 20))
def test_the_boundary_is_where_the_losses_are_equal(importance: float) -> None:
    value = torch.tensor(importance, dtype=torch.float64)
    ignore_1, ignore_0, both = ideal_losses(boundary(value), value).tolist()
    assert both == pytest.approx(min(ignore_0, ignore_1), rel=1e-9)


def test_phases_of_trained_weights() -> None:
    W = torch.tensor([[1.0, 0.1], [0.1, -1.0], [1.0, -0.95], [1.0, 0.95], [0.71, -0.71], [0.1, 0.2]])[:, None]
    assert phase_of(W).tolist() == [IGNORES_1, IGNORES_0, SUPERPOSED, BETWEEN, BETWEEN, BETWEEN]


# Units and attacks ----------------------------------------------------------------------------------


def test_units_with_one_feature_are_monosemantic() -> None:
    W = torch.tensor([[2.0, 0.0, 0.1], [1.0, 1.0, 0.0], [0.0, 0.0, 0.01]], dtype=torch.float64)
    assert largest_share(W).tolist() == pytest.approx([4 / 4.01, 0.5, 1.0], rel=1e-9)
    assert monosemantic_share(W) == 0.5  # the third unit is dead
    assert monosemantic_share(torch.zeros(2, 3)) == 0.0


def single(W: torch.Tensor) -> ToyModels:
    stack = W[None, None]
    return ToyModels("linear", stack, stack, torch.zeros(1, 1, W.shape[1]))


def test_a_network_without_overlap_is_as_vulnerable_as_its_input() -> None:
    x = 0.5 + 0.1 * torch.rand(1, 4, 50, generator=generator(0))
    assert float(vulnerability(single(torch.eye(4)), x)) == pytest.approx(1.0, abs=1e-4)


def test_the_attack_is_the_worst_of_all_directions() -> None:
    W = torch.randn(2, 5, generator=generator(1))
    model = single(W)
    x = draw_features("independent", torch.tensor([0.3]), 5, 20, generator(2))
    length = 0.1 * x.norm(dim=1).mean()
    directions = attack_directions(W)
    assert torch.allclose(directions.norm(dim=1), torch.ones(10))
    harm = 0.0
    for column in range(20):
        one = x[:, :, column : column + 1]
        clean = float((model(one)[0, 0] - one[0]).square().sum())
        pushed = [float((model(one + length * d[:, None])[0, 0] - one[0]).square().sum()) for d in directions]
        harm += (max(pushed) - clean) / 20
    assert float(vulnerability(model, x)) == pytest.approx(harm / float(length) ** 2, rel=1e-3)
    with pytest.raises(ValueError, match="measured on one network"):
        vulnerability(random_models("linear", 0), torch.rand(2, 6, 4))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_output_is_stuck_if_biases_begin_at_the_mean(tmp_path: Path, seed: int) -> None:
    """From zero, some of many dense outputs stay at zero for every input, and cost more than a linear map does."""
    group = Group("dense", 100, 20, (1.0, 0.5), geometric(100, 1.0, 2), starts=2, steps=0, batch=256)

    def trained(steps: int, **changes: bool) -> TrainedGroup:
        folder = tmp_path / f"{steps}{changes}"
        there = Workspace(config=None, seeds=(seed,), device=torch.device("cpu"), folder=folder)
        wanted = dataclasses.replace(group, steps=steps, learning_rate=1e-2, decays_to_zero=True, **changes)
        return train_group(there, wanted, seed)

    begun = trained(0, starts_at_mean=True).models.b
    torch.testing.assert_close(begun, torch.tensor([0.5, 0.25])[:, None, None].expand_as(begun))
    assert not trained(0).models.b.any()
    from_zero, from_mean = trained(250), trained(250, starts_at_mean=True)
    x, _ = batch_for(group, seed, 1000, torch.device("cpu"))
    stuck, free = (int((one.models(x)[0].amax(-1) == 0).sum()) for one in (from_zero, from_mean))
    assert stuck > 0 and free == 0
    assert float(from_mean.loss[0].max()) < float(from_zero.loss[0].min())
