"""The final figure of unit 00: the ten templates that the learner's training finds."""

from __future__ import annotations

from typing import Any

import torch

from mechscope.course.figure import UnitFigure
from mechscope.course.units.mnist_templates.checks import some_digits
from mechscope.viz import image_grid

USES = ("softmax_gradient", "train_linear", "remove_common_part")
TRAINED, TESTED = 1_000, 1_000
STEPS, LEARNING_RATE = 60, 0.5


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Train ten templates on some digits, and count how many others they get right."""
    images, labels = some_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    trained, tested = order[:TRAINED], order[TRAINED : TRAINED + TESTED]
    weights, bias = functions.train_linear(images[trained], labels[trained], STEPS, LEARNING_RATE)
    answers = (images[tested] @ weights.T + bias).argmax(-1)
    shown, _ = functions.remove_common_part(weights, bias)
    figure = image_grid(
        shown.reshape(10, 28, 28).numpy(),
        [str(digit) for digit in range(10)],
        title="What the network looks for in each digit",
        unit="weight",
    )
    return UnitFigure(
        figure=figure,
        caption=f"Your training on {TRAINED:,} images, with what all digits share taken away. Ink where a template is "
        "positive speaks for its digit, ink where it is negative against it. Look at the middle of the 0.",
        number=float((answers == labels[tested]).float().mean()),
        number_is=f"the share of {TESTED:,} other images that your network gets right",
        expected=(0.82, 0.91),
    )
