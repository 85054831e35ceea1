"""Which shape should equal features take? The lowest loss of each shape, without training a network.

A shape of k equal features in d dimensions has a fixed matrix of cosines G. Only one scale a and one bias b, the same
for every feature, are left to choose:

    x'_0 = ReLU(a (G x)_0 + b)        L = min over a, b of E[(x'_0 − x_0)²]

Dimensions are scarce, so shapes compete by what a dimension buys: k (V − L) / d, where V is the loss of a feature that
is left out, its variance. A feature that has a dimension to itself saves all of V.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

SHAPES = {
    "one each": (1, 1),
    "pair": (2, 1),
    "triangle": (3, 2),
    "tetrahedron": (4, 3),
    "pentagon": (5, 2),
    "square antiprism": (8, 3),
}
"""Name → (features k, dimensions d)."""

DENSITY = tuple(20.0 ** -(i / 23) for i in range(24))
"""Densities of the figure."""
POINTS = 2**14
"""Quasi-random points that an expectation is averaged over."""


def cosines(shape: str) -> Float[Tensor, " feature"]:
    """Cosines between one feature of a shape and all of them, itself first; they are the same for each feature."""
    count, dimensions = SHAPES[shape]
    if count == dimensions + 1:  # a simplex
        return torch.tensor([1.0] + [-1 / dimensions] * dimensions)
    if dimensions == 2:
        return (2 * math.pi * torch.arange(count) / count).cos()
    if dimensions == 1:
        return torch.ones(1)
    # Two squares, one rotated by an eighth of a turn, each 1/√3 from the centre: this treats all three axes alike.
    above = torch.tensor([0, 1, 2, 3]) * math.pi / 2
    squares = [2 / 3 * turn.cos() + height / 3 for turn, height in ((above, 1), (above + math.pi / 4, -1))]
    return torch.cat(squares)


def gains(density: Sequence[float]) -> dict[str, Float[Tensor, " density"]]:
    """What a dimension saves if its features take each shape, as a multiple of what it saves with one feature alone.

    Args:
        density: probabilities p with which a feature is present; it is then uniform on [0, 1].

    Raises:
        ValueError: for a density outside (0, 1].
    """
    if wrong := [p for p in density if not 0 < p <= 1]:
        raise ValueError(f"a density is a probability, above 0 and at most 1, not {wrong[0]}.")
    p = torch.tensor(density, dtype=torch.float64)[:, None]
    most = max(count for count, _ in SHAPES.values())
    # The sequence begins at the corner where no feature is present.
    uniform = torch.quasirandom.SobolEngine(most).draw(POINTS + 1, dtype=torch.float64)[1:]
    # A feature is 0 with probability 1 − p, else uniform [feature density point].
    x = ((uniform.T[:, None] - (1 - p)) / p).clamp_min(0)
    variance = p[:, 0] / 3 - p[:, 0] ** 2 / 4
    found = {}
    for shape, (count, dimensions) in SHAPES.items():
        loss = _least_loss(torch.tensordot(cosines(shape).double(), x[:count], 1), x[0])
        found[shape] = count * (variance - loss) / dimensions / variance
    return found


def best_shapes(found: Mapping[str, Tensor]) -> list[str]:
    """The shape with the largest gain at each density."""
    names = list(found)
    return [names[int(row)] for row in torch.stack(list(found.values())).argmax(0)]


def largest_lead(found: Mapping[str, Tensor], shape: str) -> float:
    """By how much a shape beats the next best one where it leads most, in percent; 0 if it never leads."""
    others = torch.stack([gain for name, gain in found.items() if name != shape]).amax(0)
    return 100 * max(0.0, float((found[shape] / others - 1).max()))


def _least_loss(seen: Tensor, wanted: Tensor) -> Float[Tensor, " density"]:
    """The mean square error with the best scale and bias at each density."""
    scale = torch.ones(len(seen), 1, dtype=seen.dtype, requires_grad=True)
    bias = torch.zeros_like(scale, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, bias], max_iter=200, line_search_fn="strong_wolfe")

    def losses() -> Tensor:
        return ((scale * seen + bias).relu() - wanted).square().mean(1)

    def step() -> Tensor:
        optimizer.zero_grad()
        total = losses().sum()
        total.backward()
        return total

    optimizer.step(step)
    return losses().detach()
