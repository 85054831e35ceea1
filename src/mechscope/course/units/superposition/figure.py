"""The final figure of unit 01: five features in a plane."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mechscope.course.figure import UnitFigure
from mechscope.viz.template import new_figure

USES = ("sparse_batch", "toy_gradient", "angles_between", "feature_dimensionality")
FEATURES, DENSITY = 5, 0.05
STEPS, BATCH, LEARNING_RATE = 800, 256, 0.03


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Train the toy model with the learner's gradient, and draw the direction of each feature."""
    W = train(functions, seed)
    angles = functions.angles_between(W)
    shares = functions.feature_dimensionality(W)
    figure = new_figure(
        "Five features share a plane as a pentagon", "hidden dimension 0", "hidden dimension 1"
    )
    for feature, (x, y) in enumerate(W.T.tolist()):
        figure.add_scatter(
            x=[0, x],
            y=[0, y],
            name=f"feature {feature}: dimensionality {float(shares[feature]):.2f}",
            mode="lines+markers",
        )
    figure.update_yaxes(scaleanchor="x", scaleratio=1)
    figure.update_layout(showlegend=True, height=460, meta={"max_width": 480})
    return UnitFigure(
        figure=figure,
        caption=f"The angles between neighbours are {', '.join(f'{angle:.0f}°' for angle in angles.tolist())}: as far "
        "from each other as five directions in a plane can be.",
        number=float(shares.mean()),
        number_is="the dimensionality of a feature, on average: its share of a dimension",
        expected=(0.39, 0.41),
    )


def train(functions: Any, seed: int) -> Tensor:
    """The learned directions [hidden, feature], by Adam with a learning rate that falls to zero."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [0.3 * torch.randn(2, FEATURES, generator=generator), torch.zeros(FEATURES)]
    means = [torch.zeros_like(each) for each in parameters]
    squares = [torch.zeros_like(each) for each in parameters]
    for step in range(1, STEPS + 1):
        x = functions.sparse_batch(BATCH, FEATURES, DENSITY, 10_000 * seed + step)
        gradients = functions.toy_gradient(x, *parameters, torch.ones(FEATURES))
        rate = LEARNING_RATE * (1 - step / STEPS)
        for place, gradient in enumerate(gradients):
            means[place] = 0.9 * means[place] + 0.1 * gradient
            squares[place] = 0.999 * squares[place] + 0.001 * gradient**2
            size = (squares[place] / (1 - 0.999**step)).sqrt() + 1e-8
            parameters[place] = parameters[place] - rate * means[place] / (1 - 0.9**step) / size
    return parameters[0]
