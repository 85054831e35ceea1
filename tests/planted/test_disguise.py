"""Noise leaves the answers, rotation leaves the logits."""

from __future__ import annotations

import pytest
import torch

from mechscope import planted
from mechscope.planted._disguise import random_rotation


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_answers_stand_the_noise_that_is_promised(name: str) -> None:
    seed = len(name)
    model = planted.load(
        name,
        noise=planted.STEADY_NOISE[name],
        rotate=True,
        seed=seed,
        extra_layers=1,
        extra_heads=1,
        extra_neurons=8,
    )
    found = model.check(150, seed=seed)
    assert found.exact and found.margin > 0.3
    assert all(bool(weight.std() > 0) for weight in model.model.parameters())


@pytest.mark.parametrize("name", ["sort", "dyck2", "modular_addition", "ioi"])
def test_rotation_changes_every_weight_and_no_logit(name: str) -> None:
    plain = planted.load(name, extra_layers=1, extra_heads=1)
    turned = planted.load(name, extra_layers=1, extra_heads=1, rotate=True)
    task = plain.task(16)
    before, after = plain.model(task.clean), turned.model(task.clean)
    assert float((before - after).abs().max()) < 2e-3
    on_axis = (plain.model.W_E == 0).float().mean()
    assert on_axis > 0.5 and (turned.model.W_E == 0).float().mean() < 0.1
    assert turned.model.W_U.norm() == pytest.approx(float(plain.model.W_U.norm()), rel=1e-4)


def test_seeds_give_different_disguises_and_the_same_one_again() -> None:
    first, again, other = (planted.load("ioi", noise=0.01, rotate=True, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.model.W_E, again.model.W_E)
    assert not torch.equal(first.model.W_E, other.model.W_E)


def test_noise_that_drowns_a_program_is_refused() -> None:
    with pytest.raises(ValueError, match="is too much for histogram"):
        planted.load("histogram", noise=0.5)


def test_random_rotation_is_orthogonal() -> None:
    turn = random_rotation(7, torch.Generator().manual_seed(0))
    assert torch.allclose(turn @ turn.T, torch.eye(7, dtype=torch.float64), atol=1e-12)
