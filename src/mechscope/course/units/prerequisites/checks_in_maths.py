"""The checks of unit P for linear algebra, gradients and likelihoods."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.prerequisites import reference
from mechscope.course.units.prerequisites.mistakes_in_maths import NOT_A_BASIS, REFUSES_TOO_MUCH, UNDERFLOW


def _orthonormal(trial: Trial, dim: int) -> Tensor:
    return torch.linalg.qr(trial.normal(dim, dim)).Q


# Change of basis


def check_change_basis(trial: Trial) -> None:
    for _ in range(3):
        dim = trial.number(2, 6)
        basis = _orthonormal(trial, dim) + 0.3 * trial.normal(dim, dim) / dim
        vector = trial.normal(dim)
        found = trial.compare(basis, vector, rtol=1e-3, atol=1e-3, what="the coordinates")
        trial.require(
            torch.allclose(basis @ found, vector, atol=1e-3), "the coordinates do not give the vector back."
        )
    for _ in range(4):
        dim = trial.number(4, 7)
        basis = _orthonormal(trial, dim)
        # Rounding makes the determinant a tiny number that is seldom exactly 0.
        basis[:, 0] = basis[:, 1:] @ trial.normal(dim - 1)
        trial.refuses(ValueError, NOT_A_BASIS, basis, trial.normal(dim))


# Rank


def check_low_rank(trial: Trial) -> None:
    for _ in range(2):
        matrix = trial.normal(trial.number(7, 9), trial.number(7, 10))
        rank = trial.number(1, 4)
        found = trial.compare(matrix, rank, rtol=1e-3, atol=1e-3, what="the approximation")
        trial.require(int(torch.linalg.matrix_rank(found, rtol=1e-4)) <= rank, "its rank is too high.")
        error = float((matrix - found).square().sum())
        best = float(torch.linalg.svdvals(matrix)[rank:].square().sum())
        trial.require(
            abs(error - best) < 1e-2 * best,
            f"the squared error is {error:.4g}; {best:.4g} is possible (the squares of the other singular values).",
        )


# Rotation


def check_rotate(trial: Trial) -> None:
    dim = trial.number(3, 6)
    Q, vectors = _orthonormal(trial, dim), trial.normal(trial.number(2, 5), dim)
    for sign in (1, -1):
        Q = Q * torch.tensor([sign] + [1] * (dim - 1))
        try:
            found = trial.compare(vectors, Q, what="the rotated vectors")
        except ValueError:
            raise CheckFailedError(
                "your function refuses a matrix that is orthonormal.",
                REFUSES_TOO_MUCH,
                trial.in_words((vectors, Q), {}),
            ) from None
    trial.require(
        torch.allclose(found @ found.T, vectors @ vectors.T, atol=1e-3), "inner products have changed."
    )
    words = "this matrix changes lengths or angles, and your function does not refuse it."
    trial.refuses(ValueError, words, vectors, 2 * Q)
    # The first keeps all lengths of the columns, the second the determinant.
    for scale in (math.sqrt(0.5), 1.0):
        sheared = Q.clone()
        sheared[:, 0] = (Q[:, 0] + Q[:, 1]) * scale
        trial.refuses(ValueError, words, vectors, sheared)


# Eigenvectors


def check_power_iteration(trial: Trial) -> None:
    names = ("the eigenvalue", "the eigenvector")
    for _ in range(2):
        dim = trial.number(3, 7)
        Q = _orthonormal(trial, dim)
        values = trial.uniform(dim, low=-0.6, high=0.6)
        values[0] = -1.5
        matrix = Q * (values * trial.uniform(1, low=0.5, high=2)) @ Q.T
        start = trial.normal(dim)
        trial.compare(matrix, start, trial.number(1, 4), names=names)
        value, vector = trial.compare(matrix, start, 60, atol=1e-3, names=names)
        trial.require(
            torch.allclose(matrix @ vector, value * vector, atol=1e-2),
            "matrix @ vector is not value * vector.",
        )


# Backpropagation


def _weighted_output(inputs: list[Tensor], b1: Tensor) -> Tensor:
    x, W1, W2, b2, gradient = inputs
    return (((x @ W1 + b1).relu() @ W2 + b2) * gradient).sum()


def check_mlp_backward(trial: Trial) -> None:
    names = [f"the gradient of {name}" for name in ("W1", "b1", "W2", "b2")]
    for _ in range(2):
        # Different sizes, so that a matrix that should be transposed does not fit.
        batch, d_in, hidden, d_out = (3 + torch.randperm(5, generator=trial.generator)[:4]).tolist()
        x, W1, b1 = trial.normal(batch, d_in), trial.normal(d_in, hidden), trial.normal(hidden)
        W2, b2, gradient = trial.normal(hidden, d_out), trial.normal(d_out), trial.normal(batch, d_out)
        found = trial.compare(x, W1, b1, W2, b2, gradient, names=names)
        # The gradient of b1 says what a small change of b1 does, up to the kink of a ReLU: measured in float64.
        step = 1e-6 * trial.normal(hidden).double()
        inputs = [each.double() for each in (x, W1, W2, b2, gradient)]
        up, down = (_weighted_output(inputs, b1.double() + sign * step) for sign in (1, -1))
        slope = float((up - down) / 2)
        trial.require(
            abs(slope - float(found[1].double() @ step))
            < 1e-3 * float(step.norm() * found[1].norm()) + 1e-10,
            "a small change of b1 changes the output by something else than your gradient says.",
        )


# Likelihood


def check_log_likelihood(trial: Trial) -> None:
    values = 3 * trial.normal(trial.number(5, 12)) + 1
    trial.compare(values, 0.5, float(trial.uniform(1, low=0.5, high=3)), rtol=1e-3, what="the log-likelihood")
    many = trial.normal(10_000)
    found = trial.call(many, 0.0, 1.0)
    trial.require(
        isinstance(found, float) and math.isfinite(found),
        "with 10,000 values your function does not give a finite number.",
        UNDERFLOW,
    )
    trial.compare(many, 0.0, 1.0, rtol=1e-3, what="the log-likelihood of 10,000 values")


def check_gaussian_mle(trial: Trial) -> None:
    for _ in range(2):
        # Few values, so that dividing by n - 1 shows; far from symmetric, so that the median is not the mean.
        values = 2 * trial.normal(trial.number(4, 8)).exp() + trial.normal(1)
        trial.compare(values, names=("the mean", "the standard deviation"))


# The central limit theorem


def check_spread_of_means(trial: Trial) -> None:
    values, sizes = trial.normal(200).exp(), [1, 4, 16, 64]
    seed = trial.number(0, 1000)

    def ask(function: Callable[..., list[float]]) -> list[float]:
        return function(values, sizes, 400, torch.Generator().manual_seed(seed))

    found, wanted = ask(trial.call), ask(reference.spread_of_means)
    trial.require(
        isinstance(found, list) and len(found) == len(sizes),
        f"a list of {len(sizes)} numbers is expected, one per size.",
    )
    if all(math.isclose(one, other, rel_tol=1e-3) for one, other in zip(found, wanted, strict=True)):
        return
    for mistake in trial.mistakes:
        wrong = ask(mistake.function)
        if all(math.isclose(one, other, rel_tol=1e-3) for one, other in zip(found, wrong, strict=True)):
            raise CheckFailedError("the spreads are not what they should be.", mistake.diagnosis)
    ratios = [one / other for one, other in itertools.pairwise(found)]
    raise CheckFailedError(
        f"the spreads are {[round(one, 4) for one in found]}; {[round(one, 4) for one in wanted]} are expected.",
        f"From size to size (times 4) the spread should halve; yours falls by {[round(r, 2) for r in ratios]}.",
    )


# Regression


def check_fit_linear_regression(trial: Trial) -> None:
    for _ in range(2):
        n, features = trial.number(12, 20), trial.number(2, 4)
        x = trial.normal(n, features) + trial.uniform(features, low=1, high=3)
        y = x @ trial.normal(features) + 4 + 0.5 * trial.normal(n)
        slopes, constant = trial.compare(x, y, rtol=1e-2, atol=1e-2, names=("the slopes", "the constant"))
        residual = y - (x @ slopes + constant)
        trial.require(abs(float(residual.mean())) < 1e-2, "the errors do not average to zero.")
        trial.require(
            float((x.T @ residual).abs().max()) < 0.1, "the errors are still correlated with a feature."
        )
