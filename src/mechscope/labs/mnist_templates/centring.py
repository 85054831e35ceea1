"""Move and scale a drawn digit as MNIST's were: its longer side 20 pixels, its centre of mass in the middle.

Source: the description of MNIST by LeCun, Cortes and Burges. Theirs were scaled from larger scans; a drawing that is
resampled here stays a little sharper or more blurred than they are.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

BOX = 20
"""Pixels of the longer side of the box around the ink."""


def centre_digit(image: Float[Tensor, "row col"]) -> Float[Tensor, "row col"]:
    """The image with its box scaled and its centre of mass moved to the middle, sampled bilinearly.

    An empty image stays empty.

    Args:
        image: brightness from 0 (paper) to 1 (ink), as many rows as columns.

    >>> image = torch.zeros(28, 28)
    >>> image[2:7, 3] = 1
    >>> centred = centre_digit(image)
    >>> [round(float(centred.sum(axis) @ torch.arange(28.0) / centred.sum()), 2) for axis in (1, 0)]
    [14.0, 14.0]
    """
    side = len(image)
    ink = image.double()
    rows, columns = ink.sum(1), ink.sum(0)
    total = rows.sum()
    if float(total) == 0:
        return image
    places = torch.arange(side, dtype=torch.float64)
    scale = BOX / max(_extent(rows), _extent(columns))
    middle = side / 2  # as in MNIST: over its images, the mean centre of mass is pixel 14.0
    weights = [
        _bilinear(float(masses @ places / total) + (places - middle) / scale, side)
        for masses in (rows, columns)
    ]
    return (weights[0] @ ink @ weights[1].T).to(image.dtype)


def _extent(masses: Float[Tensor, " pixel"]) -> int:
    """The number of rows (or columns) from the first one with ink to the last."""
    inked = masses.nonzero().flatten()
    return int(inked[-1] - inked[0]) + 1


def _bilinear(at: Float[Tensor, " pixel"], side: int) -> Float[Tensor, "pixel source"]:
    """For each new pixel, the weights of the old ones: linear interpolation at `at`, and nothing outside."""
    places = torch.arange(side, dtype=torch.float64)
    return (1 - (at[:, None] - places).abs()).clamp_min(0)
