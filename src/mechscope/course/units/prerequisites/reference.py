"""The solutions of unit P."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def change_basis(basis: Float[Tensor, "dim dim"], vector: Float[Tensor, " dim"]) -> Float[Tensor, " dim"]:
    """The coordinates of a vector in another basis, whose vectors are the columns of `basis`.

    The sum of the columns, each times its coordinate, is the vector again. Raise a ValueError if the columns are not a
    basis (one of them can be made from the others; use a tolerance, since numbers are rounded).
    """
    if torch.linalg.matrix_rank(basis, rtol=1e-5) < len(basis):
        raise ValueError("the columns are not a basis: one can be made from the others.")
    return torch.linalg.solve(basis, vector)


def low_rank(matrix: Float[Tensor, "row column"], rank: int) -> Float[Tensor, "row column"]:
    """The best approximation of a matrix that has at most this rank.

    Best means that the sum of the squared errors is smallest (the Eckart-Young theorem says how to find it).
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank] * S[:rank] @ Vh[:rank]


def rotate(vectors: Float[Tensor, "batch dim"], Q: Float[Tensor, "dim dim"]) -> Float[Tensor, "batch dim"]:
    """Apply Q to each vector (to each row of `vectors`).

    Raise a ValueError if Q is not orthonormal, because then lengths and angles would change: use a tolerance of 1e-4.
    """
    if not torch.allclose(Q.T @ Q, torch.eye(len(Q)), atol=1e-4):
        raise ValueError("Q is not orthonormal: its transpose is not its inverse.")
    return vectors @ Q.T


def power_iteration(
    matrix: Float[Tensor, "dim dim"], start: Float[Tensor, " dim"], steps: int
) -> tuple[float, Float[Tensor, " dim"]]:
    """The eigenvalue of largest magnitude of a symmetric matrix, and its eigenvector of length 1.

    Multiply a vector by the matrix and scale it to length 1, `steps` times, beginning with `start`. The eigenvalue,
    with its sign, is v · (matrix v) for the vector v at the end.
    """
    vector = start / start.norm()
    for _ in range(steps):
        vector = matrix @ vector
        vector = vector / vector.norm()
    return float(vector @ matrix @ vector), vector


def mlp_backward(
    x: Float[Tensor, "batch d_in"],
    W1: Float[Tensor, "d_in hidden"],
    b1: Float[Tensor, " hidden"],
    W2: Float[Tensor, "hidden d_out"],
    b2: Float[Tensor, " d_out"],
    gradient: Float[Tensor, "batch d_out"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of W1, b1, W2 and b2 (in this order) for out = relu(x @ W1 + b1) @ W2 + b2, without autograd.

    `gradient` is the derivative of a loss with respect to `out`. Go backwards: from `out` to the hidden layer, through
    the ReLU, to the first weights.
    """
    before = x @ W1 + b1
    hidden = before.relu()
    hidden_gradient = gradient @ W2.T
    before_gradient = hidden_gradient * (before > 0)
    return x.T @ before_gradient, before_gradient.sum(0), hidden.T @ gradient, gradient.sum(0)


def log_likelihood(values: Float[Tensor, " n"], mean: float, standard_deviation: float) -> float:
    """The natural logarithm of the probability density of all values together, drawn independently from a normal
    distribution.

    It must not underflow: the density of 10,000 values is far too small for a number on a computer, but its logarithm
    is not.
    """
    z = (values - mean) / standard_deviation
    return float((-0.5 * z**2 - math.log(standard_deviation) - 0.5 * math.log(2 * math.pi)).sum())


def gaussian_mle(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """The mean and the standard deviation of the normal distribution under which the values are most likely."""
    mean = values.mean()
    return float(mean), float(((values - mean) ** 2).mean().sqrt())


def spread_of_means(
    values: Float[Tensor, " n"], sizes: list[int], repeats: int, generator: torch.Generator
) -> list[float]:
    """For each size: how much the mean of so many values varies, as a standard deviation over `repeats` draws.

    Draw the places of the values with torch.randint(n, (repeats, size), generator=generator), one call per size, in
    order. The standard deviation divides by `repeats` (torch: correction=0).
    """
    spreads = []
    for size in sizes:
        places = torch.randint(len(values), (repeats, size), generator=generator)
        spreads.append(float(values[places].mean(-1).std(correction=0)))
    return spreads


def fit_linear_regression(
    x: Float[Tensor, "n feature"], y: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " feature"], float]:
    """The slopes and the constant for which the squared errors of x @ slopes + constant are smallest in sum.

    There are more examples than features, and no feature can be made from the others.
    """
    with_ones = torch.cat([x, torch.ones(len(x), 1)], 1)
    solution = torch.linalg.lstsq(with_ones, y[:, None]).solution[:, 0]
    return solution[:-1], float(solution[-1])
