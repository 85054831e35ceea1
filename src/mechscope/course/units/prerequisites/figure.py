"""The final figure of unit P: how fast a mean becomes certain."""

from __future__ import annotations

import math
from typing import Any

import torch

from mechscope.course.figure import UnitFigure
from mechscope.viz import curves

USES = ("spread_of_means", "gaussian_mle", "fit_linear_regression")
SIZES = [2**power for power in range(11)]
REPEATS = 2_000


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Means of more and more values from a skewed distribution, and the line through their spread."""
    generator = torch.Generator().manual_seed(seed)
    values = 10 * torch.rand(2_000, generator=generator) ** 2
    spreads = functions.spread_of_means(values, SIZES, REPEATS, generator)
    _, deviation = functions.gaussian_mle(values)
    log_sizes = torch.tensor(SIZES).float().log()
    slopes, constant = functions.fit_linear_regression(log_sizes[:, None], torch.tensor(spreads).log())
    slope = float(slopes[0])
    figure = curves(
        SIZES,
        {
            "measured": spreads,
            "fitted line": [math.exp(constant) * size**slope for size in SIZES],
            "standard deviation / √n": [deviation / math.sqrt(size) for size in SIZES],
        },
        title="The mean of n values varies by a factor of √n less than one value",
        x_title="n, values in each mean",
        y_title="standard deviation of the mean",
        log_x=True,
        log_y=True,
        points=True,
    )
    return UnitFigure(
        figure=figure,
        caption="Both axes are logarithmic, so a power of n is a straight line, and its slope is the power. Four times "
        "the values halve the spread, although the values themselves are far from normal.",
        number=slope,
        number_is="the slope of the fitted line: the power of n with which the spread falls",
        expected=(-0.52, -0.48),
    )
