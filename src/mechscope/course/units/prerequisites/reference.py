"""The solutions of unit P."""

import math

import einops
import plotly.graph_objects as go
import torch
from jaxtyping import Float, Int
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


def split_heads(
    x: Float[Tensor, "batch pos all_heads"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    """Cut the last axis into heads, and put the head axis before the positions. Use einops.rearrange.

    The same as loops, where d_head is all_heads / n_heads:

        for b in range(batch):
            for h in range(n_heads):
                for p in range(pos):
                    for d in range(d_head):
                        out[b, h, p, d] = x[b, p, h * d_head + d]
    """
    return einops.rearrange(x, "batch pos (head d_head) -> batch head pos d_head", head=n_heads)


def cut_patches(images: Float[Tensor, "batch height width"], size: int) -> Float[Tensor, "batch patch pixel"]:
    """Cut images into square patches, as a vision transformer does: row by row, and each patch as one row of pixels.
    Use einops.rearrange.

    The same as loops, where an image has `down` patches from top to bottom and `across` from left to right:

        for b in range(batch):
            for i in range(down):
                for j in range(across):
                    for y in range(size):
                        for x in range(size):
                            out[b, i * across + j, y * size + x] = images[b, i * size + y, j * size + x]
    """
    return einops.rearrange(images, "batch (down y) (across x) -> batch (down across) (y x)", y=size, x=size)


def stack_layers(
    streams: list[Float[Tensor, "batch pos d_model"]],
) -> Float[Tensor, "batch pos layer d_model"]:
    """Put the residual streams of several layers into one tensor. Use einops.rearrange, which takes a list as well.

    The same as loops:

        for layer in range(len(streams)):
            for b in range(batch):
                for p in range(pos):
                    for m in range(d_model):
                        out[b, p, layer, m] = streams[layer][b, p, m]
    """
    return einops.rearrange(streams, "layer batch pos d_model -> batch pos layer d_model")


def mean_of_windows(
    x: Float[Tensor, "batch pos d_model"], size: int
) -> Float[Tensor, "batch window d_model"]:
    """The mean over each window of `size` neighbouring positions; windows do not overlap. Use einops.reduce.

    The same as loops:

        for b in range(batch):
            for w in range(pos // size):
                for m in range(d_model):
                    total = 0.0
                    for s in range(size):
                        total += x[b, w * size + s, m]
                    out[b, w, m] = total / size
    """
    return einops.reduce(x, "batch (window size) d_model -> batch window d_model", "mean", size=size)


def repeat_keys(
    keys: Float[Tensor, "batch pos kv_head d_head"], times: int
) -> Float[Tensor, "batch pos head d_head"]:
    """Give each key head to `times` query heads that follow one another, as in Llama. Use einops.repeat.

    The same as loops:

        for b in range(batch):
            for p in range(pos):
                for h in range(kv_heads * times):
                    for d in range(d_head):
                        out[b, p, h, d] = keys[b, p, h // times, d]
    """
    return einops.repeat(keys, "batch pos kv_head d_head -> batch pos (kv_head times) d_head", times=times)


def paired_dot_products(
    a: Float[Tensor, "batch pos d_model"], b: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos"]:
    """The inner product of each vector of `a` with the vector of `b` in the same place. Use einops.einsum.

    The same as loops:

        for i in range(batch):
            for p in range(pos):
                for m in range(d_model):
                    out[i, p] += a[i, p, m] * b[i, p, m]
    """
    return einops.einsum(a, b, "batch pos d_model, batch pos d_model -> batch pos")


def all_dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    """The inner product of every query with every key of the same text and head. Use einops.einsum.

    The same as loops:

        for b in range(batch):
            for h in range(n_heads):
                for i in range(queries):
                    for j in range(keys):
                        for d in range(d_head):
                            out[b, h, i, j] += q[b, i, h, d] * k[b, j, h, d]
    """
    return einops.einsum(q, k, "batch query head d_head, batch key head d_head -> batch head query key")


def score_through_matrix(
    x: Float[Tensor, "pair left"], W: Float[Tensor, "left right"], y: Float[Tensor, "pair right"]
) -> Float[Tensor, " pair"]:
    """x · (W y) for each pair of vectors: how a head scores two tokens. Use einops.einsum with three tensors.

    The same as loops:

        for n in range(pairs):
            for i in range(left):
                for j in range(right):
                    out[n] += x[n, i] * W[i, j] * y[n, j]
    """
    return einops.einsum(x, W, y, "pair left, left right, pair right -> pair")


def traces(
    A: Float[Tensor, "head row column"], B: Float[Tensor, "head column row"]
) -> Float[Tensor, " head"]:
    """The trace of A @ B (the sum of its diagonal) for each head, without making A @ B. Use einops.einsum.

    The same as loops:

        for h in range(n_heads):
            for i in range(rows):
                for j in range(columns):
                    out[h] += A[h, i, j] * B[h, j, i]
    """
    return einops.einsum(A, B, "head row column, head column row -> head")


def attention_to_itself(pattern: Float[Tensor, "batch head pos pos"]) -> Float[Tensor, " head"]:
    """How much attention positions pay to themselves, per head: the mean over the texts and positions.

    Use torch.einsum, which takes a diagonal if a letter appears twice in one tensor (einops.einsum does not), and
    divide. The same as loops:

        for h in range(n_heads):
            for b in range(batch):
                for p in range(pos):
                    out[h] += pattern[b, h, p, p] / (batch * pos)
    """
    batch, _, pos, _ = pattern.shape
    return torch.einsum("bhpp -> h", pattern) / (batch * pos)


def train_mlp(
    images: Float[Tensor, "image pixel"],
    labels: Int[Tensor, " image"],
    start: tuple[Tensor, Tensor, Tensor, Tensor],
    batches: Int[Tensor, "step batch"],
    rate: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train a network with one hidden layer to name images, without autograd. Use mlp_backward.

    `start` holds W1, b1, W2 and b2, as in mlp_backward; return the four trained ones. The outputs are logits: their
    softmax gives the probability of each label, and the loss is the mean of -log(probability of the right one). Its
    gradient with respect to the logits is (probabilities - one-hot labels) / batch.

    Each row of `batches` says which images one step uses. A step subtracts from each of the four its gradient times a
    learning rate, which falls in a straight line: step i of n, counted from 0, uses rate * (1 - i / n).
    """
    W1, b1, W2, b2 = start
    for step, rows in enumerate(batches):
        x = images[rows]
        logits = (x @ W1 + b1).relu() @ W2 + b2
        wanted = torch.nn.functional.one_hot(labels[rows], logits.shape[-1])
        gradients = mlp_backward(x, W1, b1, W2, b2, (logits.softmax(-1) - wanted) / len(rows))
        size = rate * (1 - step / len(batches))
        W1, b1, W2, b2 = (
            old - size * gradient for old, gradient in zip((W1, b1, W2, b2), gradients, strict=True)
        )
    return W1, b1, W2, b2


def make_figure(train: list[float], test: list[float], title: str) -> go.Figure:
    """Two loss curves in one figure, so that a reader who sees nothing else understands it.

    `train` and `test` are losses after step 0, 1, 2, …; their lines are named "train" and "test". The figure has this
    title, and its axes say what they show: the step, and the loss with its unit (nats). Return the figure, a
    plotly.graph_objects.Figure; do not show it.
    """
    figure = go.Figure(layout={"title": {"text": title}})
    for name, losses in (("train", train), ("test", test)):
        figure.add_scatter(x=list(range(len(losses))), y=losses, name=name, mode="lines")
    return figure.update_layout(xaxis_title="step", yaxis_title="loss (nats)")
