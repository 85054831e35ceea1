"""The checks of unit 01."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math

import torch
from torch import Tensor

from mechscope.course.trial import Trial
from mechscope.course.units.superposition import reference


def check_sparse_batch(trial: Trial) -> None:
    for _ in range(2):
        density = float(trial.uniform(1, low=0.1, high=0.4))
        trial.compare(
            trial.number(20, 40), trial.number(4, 9), density, trial.number(0, 100), what="the batch"
        )


def _model(trial: Trial) -> tuple[Tensor, Tensor]:
    hidden, features = trial.number(2, 5), trial.number(6, 9)
    return trial.normal(hidden, features), 0.3 * trial.normal(features)


def check_toy_forward(trial: Trial) -> None:
    for _ in range(2):
        W, b = _model(trial)
        trial.compare(trial.normal(trial.number(6, 12), W.shape[1]), W, b, what="the restored features")


def check_weighted_loss(trial: Trial) -> None:
    for _ in range(2):
        batch, features = trial.number(3, 7), trial.number(4, 9)
        x, restored = trial.uniform(batch, features), trial.uniform(batch, features)
        trial.compare(x, restored, trial.uniform(features, low=0.2, high=2), what="the loss")


def check_toy_gradient(trial: Trial) -> None:
    for _ in range(2):
        W, b = _model(trial)
        importance = trial.uniform(W.shape[1], low=0.2, high=2)
        x = trial.uniform(trial.number(4, 7), W.shape[1])
        found = trial.compare(
            x, W, b, importance, rtol=1e-3, atol=1e-4, names=("the gradient of W", "the gradient of b")
        )
        # A second opinion: automatic differentiation of the loss.
        with torch.enable_grad():
            leaves = [W.clone().requires_grad_(), b.clone().requires_grad_()]
            loss = reference.weighted_loss(x, reference.toy_forward(x, *leaves), importance)
            by_autograd = torch.autograd.grad(loss, leaves)
        trial.require(
            all(torch.allclose(one, other, atol=1e-3) for one, other in zip(found, by_autograd, strict=True)),
            "the gradients differ from those of automatic differentiation.",
        )


def check_feature_interference(trial: Trial) -> None:
    for _ in range(2):
        W, _ = _model(trial)
        trial.compare(W, rtol=1e-3, atol=1e-4, what="the interference")
    square = torch.eye(4) * 2
    trial.require(
        torch.allclose(trial.call(square), torch.zeros(4), atol=1e-5),
        "features at right angles do not interfere, but your function says that they do.",
    )


def check_feature_dimensionality(trial: Trial) -> None:
    for _ in range(2):
        W, _ = _model(trial)
        found = trial.compare(W, rtol=1e-3, what="the dimensionality")
        trial.require(bool((found <= 1.0001).all()), "no feature has more than one dimension.")
    turns = 2 * math.pi * torch.arange(5) / 5
    pentagon = torch.stack([turns.cos(), turns.sin()])
    trial.require(
        torch.allclose(trial.call(pentagon), torch.full((5,), 2 / 5), atol=1e-3),
        "in a regular pentagon each feature has 2/5 of a dimension.",
    )


def check_angles_between(trial: Trial) -> None:
    for _ in range(3):
        W = trial.normal(2, trial.number(4, 8))
        found = trial.compare(W, rtol=1e-3, atol=1e-2, what="the angles")
        trial.require(abs(float(found.sum()) - 360) < 0.1, "the angles do not add up to 360 degrees.")


def check_best_loss(trial: Trial) -> None:
    # Both ways win somewhere, and either feature can be the more important one.
    for density, low, high in (
        (0.9, 0.3, 0.6),
        (0.9, 1.2, 3.0),
        (0.05, 0.3, 0.9),
        (0.05, 1.2, 3.0),
        (0.4, 0.3, 3.0),
    ):
        trial.compare(density, float(trial.uniform(1, low=low, high=high)), rtol=1e-3, what="the loss")
