"""The checks of unit P."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import plotly.graph_objects as go
import torch
from einops import rearrange
from torch import Tensor

from mechscope.course.comparison import describe
from mechscope.course.kit import largest_tensor, operations
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.prerequisites import reference
from mechscope.course.units.prerequisites.mistakes_in_drills import LOOP, PRODUCT
from mechscope.course.units.prerequisites.mistakes_in_maths import UNDERFLOW
from mechscope.course.units.prerequisites.mistakes_in_training import (
    EXCHANGED,
    FROM_ONE,
    NO_AXES,
    NO_NAMES,
    NO_TITLE,
    NO_UNIT,
    ONE_CURVE,
)
from mechscope.data.digits import Digits, load_digits

EXTRA_OPERATIONS = 10
"""How many more torch operations than the reference a drill without a loop may need."""


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


# Backpropagation


def _weighted_output(x: Tensor, W1: Tensor, W2: Tensor, b2: Tensor, gradient: Tensor, b1: Tensor) -> Tensor:
    return (((x @ W1 + b1).relu() @ W2 + b2) * gradient).sum()


def check_mlp_backward(trial: Trial) -> None:
    for _ in range(2):
        batch, d_in, hidden, d_out = (trial.number(3, 7) for _ in range(4))
        x, W1, b1 = trial.normal(batch, d_in), trial.normal(d_in, hidden), trial.normal(hidden)
        W2, b2, gradient = trial.normal(hidden, d_out), trial.normal(d_out), trial.normal(batch, d_out)
        found = trial.compare(x, W1, b1, W2, b2, gradient, what="the gradients of W1, b1, W2, b2")
        # The gradient of b1 says what a small change of b1 does, up to the kink of a ReLU: measured in float64.
        step = 1e-6 * trial.normal(hidden).double()
        inputs = [each.double() for each in (x, W1, W2, b2, gradient)]
        up, down = (_weighted_output(*inputs, b1.double() + sign * step) for sign in (1, -1))
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
        trial.compare(values, what="mean and standard deviation")


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
        slopes, constant = trial.compare(x, y, rtol=1e-2, atol=1e-2, what="slopes and constant")
        residual = y - (x @ slopes + constant)
        trial.require(abs(float(residual.mean())) < 1e-2, "the errors do not average to zero.")
        trial.require(
            float((x.T @ residual).abs().max()) < 0.1, "the errors are still correlated with a feature."
        )


# The drills


def _drill(draw: Callable[[Callable[[], int], Trial], tuple[Any, ...]], what: str) -> Callable[[Trial], None]:
    """A check of a drill: right on small inputs, and without a loop on larger ones.

    Args:
        draw: makes the arguments, given a function that draws a size.
        what: what the answer is called.
    """

    def check(trial: Trial) -> None:
        for smallest in (2, 3, 10):
            # Different sizes, so that exchanged axes show in the shape.
            sizes = smallest + torch.randperm(5, generator=trial.generator)
            arguments = draw(iter(sizes.tolist()).__next__, trial)
            trial.compare(*arguments, what=what)
        count = operations(lambda: trial.function(*arguments))
        needed = operations(lambda: trial.reference(*arguments))
        trial.require(
            count <= needed + EXTRA_OPERATIONS,
            f"the answer is right, but it took {count} operations of torch; one expression needs {needed}.",
            LOOP,
        )

    return check


def _two_factors(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    shape = (size(), size(), size())
    return trial.normal(*shape), trial.normal(*shape)


def _heads(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    heads = size()
    return trial.normal(size(), size(), heads * size()), heads


def _images(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    side = size()
    down = size()
    return trial.normal(size(), down * side, (down + 1) * side), side


def _windows(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    length = size()
    return trial.normal(size(), length * size(), size()), length


def _streams(size: Callable[[], int], trial: Trial) -> tuple[list[Tensor]]:
    shape = (size(), size(), size())
    return ([trial.normal(*shape) for _ in range(trial.number(2, 5))],)


def _queries_and_keys(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    batch, queries, heads, d_head = (size() for _ in range(4))
    return trial.normal(batch, queries, heads, d_head), trial.normal(batch, queries + 1, heads, d_head)


def _square_matrix(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    # Square, so that the transposed matrix can be taken by mistake.
    pairs, dim = size(), size()
    return trial.normal(pairs, dim), trial.normal(dim, dim), trial.normal(pairs, dim)


def _factors(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    heads, rows = size(), size()
    return trial.normal(heads, rows, rows), trial.normal(heads, rows, rows)


def _pattern(size: Callable[[], int], trial: Trial) -> tuple[Tensor]:
    pos = size()
    return (trial.normal(size(), size(), pos, pos).softmax(-1),)


check_split_heads = _drill(_heads, "the heads")
check_cut_patches = _drill(_images, "the patches")
check_stack_layers = _drill(_streams, "the stack")
check_mean_of_windows = _drill(_windows, "the means")
check_repeat_keys = _drill(
    lambda size, trial: (trial.normal(size(), size(), size(), size()), size()), "the keys"
)
check_paired_dot_products = _drill(_two_factors, "the inner products")
check_all_dot_products = _drill(_queries_and_keys, "the inner products")
check_score_through_matrix = _drill(_square_matrix, "the scores")
check_attention_to_itself = _drill(_pattern, "the attention")


def check_traces(trial: Trial) -> None:
    _drill(_factors, "the traces")(trial)
    # Many rows and few columns: A @ B is much larger than A and B.
    rows, columns = trial.number(50, 60), trial.number(2, 5)
    A, B = trial.normal(3, rows, columns), trial.normal(3, columns, rows)
    trial.compare(A, B, rtol=1e-3, atol=1e-3, what="the traces")
    most = largest_tensor(lambda: trial.function(A, B)) / A.nbytes
    trial.require(
        most < 3, f"the answer is right, but it made a tensor {most:.0f} times as large as A.", PRODUCT
    )


# Training


@cache
def _middle_of_digits() -> Digits:
    """MNIST without its margin of 4 pixels, which holds almost no ink and would cost half of the time."""
    digits = load_digits()
    train, test = (
        rearrange(images, "n (y x) -> n y x", y=28)[:, 4:24, 4:24].flatten(1)
        for images in (digits.train_x, digits.test_x)
    )
    return replace(digits, train_x=train, test_x=test, side=20)


def check_train_mlp(trial: Trial) -> None:
    pixels, hidden, labels, batch = (trial.number(5, 9) for _ in range(4))
    for steps in (1, trial.number(3, 6)):
        trial.compare(
            trial.normal(12, pixels),
            trial.whole(0, labels, 12),
            _start(trial, pixels, hidden, labels),
            trial.whole(0, 12, steps, batch),
            0.5,
            what="the trained network",
        )
    digits = _middle_of_digits()
    order = torch.cat([torch.randperm(len(digits.train_x), generator=trial.generator) for _ in range(2)])
    start = _start(trial, 400, 128, 10)
    found = trial.function(digits.train_x, digits.train_y, start, order.view(-1, 40), 0.5)
    W1, b1, W2, b2 = found
    named = ((digits.test_x @ W1 + b1).relu() @ W2 + b2).argmax(-1)
    right = float((named == digits.test_y).float().mean())
    trial.require(
        right >= 0.97, f"of MNIST's 10,000 test digits {right:.2%} are named right; 97 % is expected."
    )
    trial.note(f"Your network names {right:.2%} of MNIST's 10,000 test digits right.")


def _start(trial: Trial, pixels: int, hidden: int, labels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    W1 = trial.normal(pixels, hidden) * math.sqrt(2 / pixels)
    W2 = trial.normal(hidden, labels) / math.sqrt(hidden)
    return W1, torch.zeros(hidden), W2, torch.zeros(labels)


# The figure


def check_make_figure(trial: Trial) -> None:
    steps = trial.number(5, 12)
    train, test = (trial.uniform(steps, high=3).tolist() for _ in range(2))
    title = f"Loss of network {trial.number(0, 1000)}"
    figure = trial.call(train, test, title)
    trial.require(
        isinstance(figure, go.Figure),
        f"a plotly Figure is expected, not {describe(figure)}.",
        "Return the figure itself. figure.show() returns None." if figure is None else "",
    )
    lines = [line for line in figure.data if isinstance(line, go.Scatter)]
    trial.require(len(lines) == 2, f"the figure has {len(lines)} lines.", ONE_CURVE)
    trial.require(all(line.name for line in lines), "a line of the figure has no name.", NO_NAMES)
    shown = {str(line.name): line for line in lines}
    trial.require(
        set(shown) == {"train", "test"},
        f"the lines are named {' and '.join(sorted(shown))}; train and test are expected.",
    )
    for name, losses in (("train", train), ("test", test)):
        line, other = shown[name], test if name == "train" else train
        y = [float(value) for value in line.y if value is not None]
        wrong = EXCHANGED if y == other else ""
        trial.require(y == losses, f"the line named {name} does not show the losses of {name}.", wrong)
        # Without x, plotly counts from 0.
        x = list(range(steps)) if line.x is None else [int(value) for value in line.x]
        trial.require(x == list(range(steps)), f"the line named {name} begins at step {x[0]}.", FROM_ONE)
    axes = [figure.layout.xaxis.title.text or "", figure.layout.yaxis.title.text or ""]
    trial.require(all(axes), "an axis of the figure has no title.", NO_AXES)
    trial.require("step" in axes[0].lower(), f"the horizontal axis shows steps, but is called {axes[0]!r}.")
    trial.require("loss" in axes[1].lower(), f"the vertical axis shows the loss, but is called {axes[1]!r}.")
    trial.require("nat" in axes[1].lower(), f"{axes[1]!r} does not say in which unit.", NO_UNIT)
    trial.require((figure.layout.title.text or "") == title, f"the title is not {title!r}.", NO_TITLE)
