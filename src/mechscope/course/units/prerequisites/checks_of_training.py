"""The checks of unit P for training a network and for a figure."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import plotly.graph_objects as go
import torch
from einops import rearrange, reduce
from torch import Tensor

from mechscope.course.comparison import describe
from mechscope.course.trial import CheckFailedError, Trial
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

# Training


@cache
def _middle_of_digits() -> Digits:
    """MNIST without its margin of 4 pixels, which holds almost no ink, and at half the resolution, to save time."""
    digits = load_digits()
    train, test = (
        reduce(
            rearrange(images, "n (y x) -> n y x", y=28)[:, 4:24, 4:24],
            "n (y a) (x b) -> n (y x)",
            "mean",
            a=2,
            b=2,
        )
        for images in (digits.train_x, digits.test_x)
    )
    return replace(digits, train_x=train, test_x=test, side=10)


def check_train_mlp(trial: Trial) -> None:
    pixels, hidden, labels, batch = (trial.number(5, 9) for _ in range(4))
    for steps in (1, trial.number(3, 6)):
        trial.compare(
            trial.normal(12, pixels),
            trial.whole(0, labels, 12),
            _start(trial, pixels, hidden, labels),
            trial.whole(0, 12, steps, batch),
            0.5,
            names=("W1", "b1", "W2", "b2"),
        )
    digits = _middle_of_digits()
    order = torch.cat([torch.randperm(len(digits.train_x), generator=trial.generator) for _ in range(2)])
    start = _start(trial, 100, 128, 10)
    found = trial.function(digits.train_x, digits.train_y, start, order.view(-1, 40), 1.0)
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
    if not isinstance(figure, go.Figure):
        raise CheckFailedError(
            f"a plotly Figure is expected, not {describe(figure)}.",
            "Return the figure itself. figure.show() returns None." if figure is None else "",
        )
    shapes: Any = figure.data
    lines = [line for line in shapes if isinstance(line, go.Scatter)]
    trial.require(len(lines) == 2, f"the figure has {len(lines)} lines.", ONE_CURVE)
    trial.require(all(line.name for line in lines), "a line of the figure has no name.", NO_NAMES)
    shown: dict[str, Any] = {str(line.name): line for line in lines}
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
    layout: Any = figure.layout
    axes = [layout.xaxis.title.text or "", layout.yaxis.title.text or ""]
    trial.require(all(axes), "an axis of the figure has no title.", NO_AXES)
    trial.require("step" in axes[0].lower(), f"the horizontal axis shows steps, but is called {axes[0]!r}.")
    trial.require("loss" in axes[1].lower(), f"the vertical axis shows the loss, but is called {axes[1]!r}.")
    trial.require("nat" in axes[1].lower(), f"{axes[1]!r} does not say in which unit.", NO_UNIT)
    trial.require((layout.title.text or "") == title, f"the title is not {title!r}.", NO_TITLE)
