"""The checks of unit 00."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from mechscope.course.trial import Trial


@cache
def some_digits(count: int = 2_000) -> tuple[Tensor, Tensor]:
    """Images and labels of MNIST's first training digits."""
    from mechscope.data.digits import load_digits

    digits = load_digits()
    return digits.train_x[:count].clone(), digits.train_y[:count].long()


def _network(trial: Trial, labels: int, pixels: int) -> tuple[Tensor, Tensor]:
    return trial.normal(labels, pixels), trial.normal(labels)


def _labels(trial: Trial, count: int) -> Tensor:
    """Every digit at least once, in an order of their own."""
    every = torch.cat([torch.arange(10), trial.whole(0, 10, count - 10)])
    return every[torch.randperm(count, generator=trial.generator)]


# The gradient of the softmax


def check_softmax_gradient(trial: Trial) -> None:
    for _ in range(3):
        batch, pixels = trial.number(4, 9), trial.number(10, 30)
        weights, bias = _network(trial, 5, pixels)
        labels = trial.whole(0, 5, batch)
        trial.compare(
            trial.normal(batch, pixels),
            labels,
            weights,
            bias,
            names=("the gradient of the weights", "the gradient of the bias"),
        )


# Training


def check_train_linear(trial: Trial) -> None:
    images, labels = trial.normal(30, 12), _labels(trial, 30)
    trial.compare(images, labels, trial.number(2, 6), 0.5, names=("the weights", "the bias"))
    images, labels = some_digits()
    weights, bias = trial.compare(
        images[:1000],
        labels[:1000],
        40,
        0.5,
        atol=1e-3,
        names=("the weights learnt from digits", "the bias learnt from digits"),
    )
    right = float(((images @ weights.T + bias).argmax(-1) == labels).float().mean())
    trial.require(right > 0.75, f"only {right:.0%} of 2,000 digits are named right.")


# Templates


def check_class_templates(trial: Trial) -> None:
    # Unequal numbers of images, so that an average over images is not one over digits.
    labels = _labels(trial, 60)
    labels[:20] = trial.number(0, 10)
    labels = torch.cat([labels, torch.arange(10)])
    trial.compare(trial.normal(70, trial.number(8, 16)), labels, what="the templates")
    trial.compare(*some_digits(), what="the templates of real digits")


# Evidence


def check_evidence(trial: Trial) -> None:
    for _ in range(3):
        weights, _ = _network(trial, 10, trial.number(9, 20))
        image = trial.uniform(weights.shape[1])
        right, wrong = torch.randperm(10, generator=trial.generator)[:2].tolist()
        found = trial.compare(image, weights, right, wrong, what="the evidence")
        scores = weights @ image
        trial.require(
            torch.isclose(found.sum(), scores[right] - scores[wrong], atol=1e-4),
            "the evidence does not add up to the difference between the two scores.",
        )


# What all labels have in common


def check_remove_common_part(trial: Trial) -> None:
    for _ in range(2):
        weights, bias = _network(trial, trial.number(4, 9), trial.number(10, 15))
        weights = weights + 3 * trial.normal(weights.shape[1])
        new_weights, new_bias = trial.compare(weights, bias + 2, names=("the weights", "the bias"))
        images = trial.uniform(5, weights.shape[1])
        before = (images @ weights.T + bias + 2).softmax(-1)
        after = (images @ new_weights.T + new_bias).softmax(-1)
        trial.require(torch.allclose(before, after, atol=1e-4), "the probabilities have changed.")


# Matching rows with templates


def check_match(trial: Trial) -> None:
    rows, templates = 2 + trial.normal(trial.number(4, 8), 25), trial.normal(10, 25) - 1
    found = trial.compare(rows, templates, what="the correlation")
    trial.require(bool((found.abs() <= 1.0001).all()), "a correlation lies between -1 and 1.")
    same = trial.call(templates, templates)
    trial.require(
        torch.allclose(same.diagonal(), torch.ones(10), atol=1e-4),
        "a picture's correlation with itself is not 1.",
    )


# Masking


def check_mask_top_pixels(trial: Trial) -> None:
    for _ in range(2):
        weights, _ = _network(trial, 10, trial.number(12, 20))
        images, labels = trial.uniform(6, weights.shape[1], low=0.1), trial.whole(0, 10, 6)
        count = trial.number(2, 6)
        masked = trial.compare(images, labels, weights, count, what="the masked images")
        zeros = (masked == 0).sum(-1)
        trial.require(
            bool((zeros == count).all()), f"{zeros.tolist()} pixels are zero; {count} per image are expected."
        )


# The smallest step that changes the answer


def _nearest_is_not_runner_up(trial: Trial) -> tuple[Tensor, Tensor, Tensor, int]:
    """An image and a network of which another label is nearest than the one that scores second."""
    while True:
        weights, bias = _network(trial, 6, trial.number(8, 14))
        weights = weights * trial.uniform(6, 1, low=0.2, high=3)
        image = trial.normal(weights.shape[1])
        scores = weights @ image + bias
        second, label = scores.argsort()[-2:].tolist()
        distances = (scores[label] - scores) / (weights - weights[label]).norm(dim=-1)
        distances[label] = torch.inf
        if int(distances.argmin()) != second:
            return image, weights, bias, label


def check_smallest_step(trial: Trial) -> None:
    for _ in range(4):
        image, weights, bias, label = _nearest_is_not_runner_up(trial)
        step = trial.compare(image, weights, bias, label, rtol=1e-3, what="the step")
        scores = weights @ (image + step) + bias
        gap = float(scores[label] - scores[torch.arange(6) != label].max())
        trial.require(
            abs(gap) < 1e-2, f"after the step, {gap:.3g} is missing until another label scores as high."
        )


# Hidden layers


def check_hidden_templates(trial: Trial) -> None:
    for _ in range(2):
        hidden, pixels = trial.number(4, 8), trial.number(9, 15)
        W_in, W_out = trial.normal(hidden, pixels), trial.normal(10, hidden)
        found = trial.compare(W_in, W_out, what="the templates")
        image = trial.normal(pixels)
        trial.require(
            torch.allclose(found @ image, W_out @ (W_in @ image), atol=1e-3),
            "the templates give other scores than the two layers.",
        )


def check_rotate_hidden(trial: Trial) -> None:
    for _ in range(2):
        hidden, pixels = trial.number(4, 8), trial.number(9, 15)
        W_in, W_out = trial.normal(hidden, pixels), trial.normal(10, hidden)
        rotation = torch.linalg.qr(trial.normal(hidden, hidden)).Q
        new_in, new_out = trial.compare(W_in, W_out, rotation, names=("the new W_in", "the new W_out"))
        trial.require(torch.allclose(new_out @ new_in, W_out @ W_in, atol=1e-3), "the scores have changed.")
