"""The checks of unit P, and the mistakes that they name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from mechscope.course.trial import CheckFailedError, Mistake, Trial
from mechscope.course.units.prerequisites import reference


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
    basis[:, 0] = 2 * basis[:, 1]
    trial.refuses(
        ValueError,
        "the columns of this matrix are not a basis, and your function does not say so.",
        basis,
        vector,
    )


def _applied(basis, vector):
    return basis @ vector


def _rows(basis, vector):
    return torch.linalg.solve(basis.T, vector)


def _as_if_orthonormal(basis, vector):
    return basis.T @ vector


def _never_refuses(basis, vector):
    return torch.linalg.pinv(basis) @ vector


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


def _parts(matrix):
    return torch.linalg.svd(matrix, full_matrices=False)


def _smallest_kept(matrix, rank):
    U, S, Vh = _parts(matrix)
    return U[:, -rank:] * S[-rank:] @ Vh[-rank:]


def _removed(matrix, rank):
    return matrix - reference.low_rank(matrix, rank)


def _one_too_many(matrix, rank):
    return reference.low_rank(matrix, rank + 1)


def _without_values(matrix, rank):
    U, _, Vh = _parts(matrix)
    return U[:, :rank] @ Vh[:rank]


def _rows_kept(matrix, rank):
    kept = torch.zeros_like(matrix)
    kept[:rank] = matrix[:rank]
    return kept


# Rotation


def check_rotate(trial: Trial) -> None:
    dim = trial.number(3, 6)
    Q, vectors = _orthonormal(trial, dim), trial.normal(trial.number(2, 5), dim)
    found = trial.compare(vectors, Q, what="the rotated vectors")
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


def _rotated_back(vectors, Q):
    reference.rotate(vectors, Q)
    return vectors @ Q


def _anything_goes(vectors, Q):
    return vectors @ Q.T


def _lengths_only(vectors, Q):
    if not torch.allclose(Q.norm(dim=0), torch.ones(len(Q)), atol=1e-4):
        raise ValueError("the columns do not have length 1.")
    return vectors @ Q.T


def _determinant_only(vectors, Q):
    if abs(abs(float(torch.linalg.det(Q))) - 1) > 1e-4:
        raise ValueError("the determinant is not 1 or -1.")
    return vectors @ Q.T


# Eigenvectors


def check_power_iteration(trial: Trial) -> None:
    for _ in range(2):
        dim = trial.number(3, 7)
        Q = _orthonormal(trial, dim)
        values = trial.uniform(dim, low=-0.6, high=0.6)
        values[0] = -1.5
        matrix = Q * (values * trial.uniform(1, low=0.5, high=2)) @ Q.T
        start = trial.normal(dim)
        trial.compare(matrix, start, trial.number(1, 4), what="eigenvalue and eigenvector after a few steps")
        value, vector = trial.compare(matrix, start, 60, atol=1e-3, what="eigenvalue and eigenvector")
        trial.require(
            torch.allclose(matrix @ vector, value * vector, atol=1e-2),
            "matrix @ vector is not value * vector.",
        )


def _never_scaled(matrix, start, steps):
    vector = start / start.norm()
    for _ in range(steps):
        vector = matrix @ vector
    return float(vector @ matrix @ vector), vector


def _size_only(matrix, start, steps):
    value, vector = reference.power_iteration(matrix, start, steps)
    return abs(value), vector


def _norm_as_value(matrix, start, steps):
    _, vector = reference.power_iteration(matrix, start, steps)
    return float((matrix @ vector).norm()), vector


def _one_step_more(matrix, start, steps):
    return reference.power_iteration(matrix, start, steps + 1)


def _one_step_less(matrix, start, steps):
    return reference.power_iteration(matrix, start, steps - 1)


# Backpropagation


def check_mlp_backward(trial: Trial) -> None:
    for _ in range(2):
        batch, d_in, hidden, d_out = (trial.number(3, 7) for _ in range(4))
        x, W1, b1 = trial.normal(batch, d_in), trial.normal(d_in, hidden), trial.normal(hidden)
        W2, b2, gradient = trial.normal(hidden, d_out), trial.normal(d_out), trial.normal(batch, d_out)
        trial.compare(x, W1, b1, W2, b2, gradient, what="the gradients of W1, b1, W2, b2")


def _relu_forgotten(x, W1, b1, W2, b2, gradient):
    hidden_gradient = gradient @ W2.T
    return x.T @ hidden_gradient, hidden_gradient.sum(0), (x @ W1 + b1).relu().T @ gradient, gradient.sum(0)


def _relu_of_gradient(x, W1, b1, W2, b2, gradient):
    hidden_gradient = (gradient @ W2.T).relu()
    return x.T @ hidden_gradient, hidden_gradient.sum(0), (x @ W1 + b1).relu().T @ gradient, gradient.sum(0)


def _without_first_bias(x, W1, b1, W2, b2, gradient):
    return reference.mlp_backward(x, W1, torch.zeros_like(b1), W2, b2, gradient)


def _averaged(x, W1, b1, W2, b2, gradient):
    return tuple(part / len(x) for part in reference.mlp_backward(x, W1, b1, W2, b2, gradient))


def _bias_averaged(x, W1, b1, W2, b2, gradient):
    dW1, db1, dW2, db2 = reference.mlp_backward(x, W1, b1, W2, b2, gradient)
    return dW1, db1 / len(x), dW2, db2 / len(x)


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


UNDERFLOW = "A product of many densities underflows to 0. Add logarithms instead of multiplying densities."


def _densities(values, mean, standard_deviation):
    z = (values - mean) / standard_deviation
    return torch.exp(-0.5 * z**2) / (standard_deviation * math.sqrt(2 * math.pi))


def _product_first(values, mean, standard_deviation):
    return float(_densities(values, mean, standard_deviation).prod().log())


def _mean_log(values, mean, standard_deviation):
    return reference.log_likelihood(values, mean, standard_deviation) / len(values)


def _negative(values, mean, standard_deviation):
    return -reference.log_likelihood(values, mean, standard_deviation)


def _variance_for_deviation(values, mean, standard_deviation):
    return reference.log_likelihood(values, mean, standard_deviation**2)


def _without_constant(values, mean, standard_deviation):
    z = (values - mean) / standard_deviation
    return float((-0.5 * z**2 - math.log(standard_deviation)).sum())


def check_gaussian_mle(trial: Trial) -> None:
    for _ in range(2):
        # Few values, so that dividing by n - 1 shows; far from symmetric, so that the median is not the mean.
        values = 2 * trial.normal(trial.number(4, 8)).exp() + trial.normal(1)
        trial.compare(values, what="mean and standard deviation")


def _divided_by_less(values):
    return float(values.mean()), float(values.std())


def _variance(values):
    return float(values.mean()), float(values.var(correction=0))


def _median(values):
    return float(values.median()), float(values.std(correction=0))


# The central limit theorem


def check_spread_of_means(trial: Trial) -> None:
    values, sizes = trial.normal(200).exp(), [1, 4, 16, 64]
    seed = trial.number(0, 1000)

    def ask(function):
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


def _of_values(values, sizes, repeats, generator):
    return [
        float(values[torch.randint(len(values), (repeats, size), generator=generator)].std(correction=0))
        for size in sizes
    ]


def _standard_error(values, sizes, repeats, generator):
    return [
        spread / math.sqrt(repeats) for spread in reference.spread_of_means(values, sizes, repeats, generator)
    ]


def _over_draws(values, sizes, repeats, generator):
    return [
        float(
            values[torch.randint(len(values), (repeats, size), generator=generator)].mean(0).std(correction=0)
        )
        for size in sizes
    ]


# Regression


def check_fit_linear_regression(trial: Trial) -> None:
    for _ in range(2):
        n, features = trial.number(12, 20), trial.number(2, 4)
        x = trial.normal(n, features) + trial.uniform(features, low=1, high=3)
        y = x @ trial.normal(features) + 4 + 0.5 * trial.normal(n)
        slopes, constant = trial.compare(x, y, rtol=1e-2, atol=1e-2, what="slopes and constant")
        residual = y - (x @ slopes + constant)
        trial.require(abs(float(residual.mean())) < 1e-2, "the errors do not average to zero.")
        trial.require(
            float((x.T @ residual).abs().max()) < 0.1, "the errors are still correlated with a feature."
        )


def _through_zero(x, y):
    return torch.linalg.lstsq(x, y[:, None]).solution[:, 0], 0.0


def _one_at_a_time(x, y):
    centred = x - x.mean(0)
    slopes = centred.T @ (y - y.mean()) / centred.square().sum(0)
    return slopes, float(y.mean() - x.mean(0) @ slopes)


def _without_inverse(x, y):
    centred = x - x.mean(0)
    slopes = centred.T @ (y - y.mean()) / len(x)
    return slopes, float(y.mean() - x.mean(0) @ slopes)


def _mean_as_constant(x, y):
    slopes, _ = reference.fit_linear_regression(x, y)
    return slopes, float(y.mean())


MISTAKES = {
    "change_basis": (
        Mistake(
            _applied,
            "This goes the other way: it takes coordinates and makes the vector. Solve for the coordinates.",
        ),
        Mistake(_rows, "This takes the rows of `basis` as the basis vectors; they are its columns."),
        Mistake(_as_if_orthonormal, "The transpose is the inverse only for an orthonormal basis."),
        Mistake(
            _never_refuses, "The columns of this matrix are not a basis, and your function does not say so."
        ),
    ),
    "low_rank": (
        Mistake(_smallest_kept, "You kept the smallest singular values. The largest ones carry the matrix."),
        Mistake(_removed, "You returned what is left over. The approximation is what you took away."),
        Mistake(_one_too_many, "You kept one singular value too many."),
        Mistake(_without_values, "The singular values themselves are missing between U and Vh."),
        Mistake(
            _rows_kept,
            "The first rows of a matrix have a low rank, but they are not the best approximation: use the SVD.",
        ),
    ),
    "rotate": (
        Mistake(
            _rotated_back,
            "This applies the transpose of Q, which rotates back. Each vector is a row: vectors @ Q.T applies Q.",
        ),
        Mistake(
            _anything_goes, "This matrix changes lengths or angles, and your function does not refuse it."
        ),
        Mistake(
            _lengths_only, "This matrix changes lengths or angles, and your function does not refuse it."
        ),
        Mistake(
            _determinant_only, "This matrix changes lengths or angles, and your function does not refuse it."
        ),
    ),
    "power_iteration": (
        Mistake(_never_scaled, "The vector was not scaled to length 1 after each step."),
        Mistake(_size_only, "An eigenvalue has a sign: v · (matrix v) gives it, a length does not."),
        Mistake(_norm_as_value, "An eigenvalue has a sign: v · (matrix v) gives it, a length does not."),
        Mistake(_one_step_more, "This took one step too many."),
        Mistake(_one_step_less, "This took one step too few."),
    ),
    "mlp_backward": (
        Mistake(_relu_forgotten, "The ReLU is missing on the way back: where it gave 0, no gradient passes."),
        Mistake(
            _relu_of_gradient,
            "You applied the ReLU to the gradient. What counts is whether its input was positive.",
        ),
        Mistake(_without_first_bias, "Which units were active depends on b1, too."),
        Mistake(
            _averaged,
            "You averaged over the batch. `gradient` already is the derivative of the whole loss: sum.",
        ),
        Mistake(_bias_averaged, "The gradients of the biases are sums over the batch, not means."),
    ),
    "log_likelihood": (
        Mistake(_product_first, UNDERFLOW),
        Mistake(
            _mean_log,
            "This is the mean over the values. The values are independent: their logarithms add up.",
        ),
        Mistake(_negative, "This is the negative log-likelihood."),
        Mistake(_variance_for_deviation, "The standard deviation was squared once too often."),
        Mistake(_without_constant, "The constant -log(sqrt(2 pi)) per value is missing."),
    ),
    "gaussian_mle": (
        Mistake(
            _divided_by_less,
            "This divides by n - 1, which makes the variance unbiased. The most likely value divides by n.",
        ),
        Mistake(_variance, "This is the variance. The standard deviation is its square root."),
        Mistake(_median, "The most likely mean is the mean of the values, not their median."),
    ),
    "spread_of_means": (
        Mistake(
            _of_values,
            "This is the spread of single values. Average each draw first, then look how the averages vary.",
        ),
        Mistake(_standard_error, "You divided by the square root of `repeats` as well."),
        Mistake(
            _over_draws, "You averaged over the draws instead of within each draw: the axes are exchanged."
        ),
    ),
    "fit_linear_regression": (
        Mistake(_through_zero, "The constant is missing: add a column of ones, or subtract the means first."),
        Mistake(
            _one_at_a_time,
            "You fitted each feature alone. Features that go together have to be fitted together.",
        ),
        Mistake(
            _without_inverse,
            "The correlations among the features are missing: (XᵀX)⁻¹ Xᵀy, or torch.linalg.lstsq.",
        ),
        Mistake(_mean_as_constant, "The constant is what is left of the mean of y after x @ slopes."),
    ),
}
"""Exercise → its known mistakes."""
