"""Mistakes in linear algebra, gradients and likelihoods."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import math

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.prerequisites import reference

UNDERFLOW = "A product of many densities underflows to 0. Add logarithms instead of multiplying densities."

NOT_A_BASIS = (
    "These columns are no basis, and your function does not say so. (Rounding can leave a tiny determinant.)"
)
REFUSES_TOO_MUCH = (
    "Numbers are rounded, so Q.T @ Q is never exactly the identity: compare with torch.allclose. And an orthonormal "
    "matrix may have determinant -1."
)

# Change of basis


def _applied(basis, vector):
    return basis @ vector


def _rows(basis, vector):
    return torch.linalg.solve(basis.T, vector)


def _as_if_orthonormal(basis, vector):
    return basis.T @ vector


def _never_refuses(basis, vector):
    return torch.linalg.pinv(basis) @ vector


def _exact_determinant(basis, vector):
    if torch.linalg.det(basis) == 0:
        raise ValueError("the determinant is 0.")
    return torch.linalg.solve(basis, vector)


# Rank


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


def _V_not_transposed(matrix, rank):
    U, S, Vh = _parts(matrix)
    return U[:, :rank] * S[:rank] @ Vh.T[:rank]


def _rows_kept(matrix, rank):
    kept = torch.zeros_like(matrix)
    kept[:rank] = matrix[:rank]
    return kept


# Rotation


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


def _exactly_orthonormal(vectors, Q):
    if not torch.equal(Q.T @ Q, torch.eye(len(Q))):
        raise ValueError("Q is not orthonormal.")
    return vectors @ Q.T


def _determinant_one(vectors, Q):
    if abs(float(torch.linalg.det(Q)) - 1) > 1e-4:
        raise ValueError("the determinant is not 1.")
    return reference.rotate(vectors, Q)


# Eigenvectors


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


def _by_largest_entry(matrix, start, steps):
    vector = start
    for _ in range(steps):
        vector = matrix @ vector
        vector = vector / vector.max()
    return float(vector @ matrix @ vector), vector


def _solved_exactly(matrix, start, steps):
    values, vectors = torch.linalg.eigh(matrix)
    return float(values[-1]), vectors[:, -1]


def _one_step_more(matrix, start, steps):
    return reference.power_iteration(matrix, start, steps + 1)


def _one_step_less(matrix, start, steps):
    return reference.power_iteration(matrix, start, steps - 1)


# Backpropagation


def _relu_forgotten(x, W1, b1, W2, b2, gradient):
    hidden_gradient = gradient @ W2.T
    return x.T @ hidden_gradient, hidden_gradient.sum(0), (x @ W1 + b1).relu().T @ gradient, gradient.sum(0)


def _relu_of_gradient(x, W1, b1, W2, b2, gradient):
    hidden_gradient = (gradient @ W2.T).relu()
    return x.T @ hidden_gradient, hidden_gradient.sum(0), (x @ W1 + b1).relu().T @ gradient, gradient.sum(0)


def _times_hidden(x, W1, b1, W2, b2, gradient):
    hidden = (x @ W1 + b1).relu()
    hidden_gradient = gradient @ W2.T * hidden
    return x.T @ hidden_gradient, hidden_gradient.sum(0), hidden.T @ gradient, gradient.sum(0)


def _without_first_bias(x, W1, b1, W2, b2, gradient):
    return reference.mlp_backward(x, W1, torch.zeros_like(b1), W2, b2, gradient)


def _averaged(x, W1, b1, W2, b2, gradient):
    return tuple(part / len(x) for part in reference.mlp_backward(x, W1, b1, W2, b2, gradient))


def _bias_averaged(x, W1, b1, W2, b2, gradient):
    dW1, db1, dW2, db2 = reference.mlp_backward(x, W1, b1, W2, b2, gradient)
    return dW1, db1 / len(x), dW2, db2 / len(x)


# Likelihood


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


def _divided_by_less(values):
    return float(values.mean()), float(values.std())


def _variance(values):
    return float(values.mean()), float(values.var(correction=0))


def _median(values):
    return float(values.median()), float(values.std(correction=0))


# The central limit theorem


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
        Mistake(_never_refuses, NOT_A_BASIS),
        Mistake(_exact_determinant, NOT_A_BASIS),
    ),
    "low_rank": (
        Mistake(_smallest_kept, "You kept the smallest singular values. The largest ones carry the matrix."),
        Mistake(_removed, "You returned what is left over. The approximation is what you took away."),
        Mistake(_one_too_many, "You kept one singular value too many."),
        Mistake(
            _V_not_transposed,
            "You used V where its transpose belongs: torch.svd returns V, and torch.linalg.svd returns Vh.",
        ),
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
        Mistake(_exactly_orthonormal, REFUSES_TOO_MUCH),
        Mistake(_determinant_one, REFUSES_TOO_MUCH),
    ),
    "power_iteration": (
        Mistake(_never_scaled, "The vector was not scaled to length 1 after each step."),
        Mistake(_size_only, "An eigenvalue has a sign: v · (matrix v) gives it, a length does not."),
        Mistake(_norm_as_value, "An eigenvalue has a sign: v · (matrix v) gives it, a length does not."),
        Mistake(
            _by_largest_entry, "You divided by the largest entry. Length 1 means dividing by vector.norm()."
        ),
        Mistake(
            _solved_exactly,
            "This is the last eigenvalue of eigh: the largest, which need not be the one of largest magnitude. "
            "Return what `steps` steps from `start` give.",
        ),
        Mistake(_one_step_more, "This took one step too many."),
        Mistake(_one_step_less, "This took one step too few."),
    ),
    "mlp_backward": (
        Mistake(_relu_forgotten, "The ReLU is missing on the way back: where it gave 0, no gradient passes."),
        Mistake(
            _relu_of_gradient,
            "You applied the ReLU to the gradient. What counts is whether its input was positive.",
        ),
        Mistake(
            _times_hidden,
            "You multiplied by the hidden values. The slope of a ReLU is 1 where its input is positive, else 0.",
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
