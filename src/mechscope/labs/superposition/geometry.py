"""How much room a feature gets: norms, dimensionality, and the polytopes that features arrange themselves in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

REPRESENTED = 0.5
"""A feature counts as represented if the norm of its direction is larger than this."""

POLYTOPES: dict[tuple[int, int], str] = {
    (1, 1): "alone",
    (4, 3): "tetrahedron",
    (3, 2): "triangle",
    (2, 1): "antipodal pair",
    (5, 2): "pentagon",
    (8, 3): "square antiprism",
}
"""(features, dimensions) → the arrangement; its fraction is dimensions / features."""


def represented(W: Float[Tensor, "*stack hidden feature"]) -> Bool[Tensor, "*stack feature"]:
    """Which features have a direction of norm above 1/2."""
    return W.norm(dim=-2) > REPRESENTED


def dimensionality(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack feature"]:
    """D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²: the share of a dimension that feature i has for itself.

    1 for a feature alone in its dimension, 1/2 for one of two that share it; 0 for one without a direction.
    Source: Elhage et al. (2022), “Toy models of superposition”, on the geometry of features.
    """
    gram = W.transpose(-1, -2) @ W
    square = gram.diagonal(dim1=-2, dim2=-1)
    # (Ŵ_i · W_j)² = gram_ij² / ‖W_i‖², so D_i = ‖W_i‖⁴ / Σ_j gram_ij².
    return square.square() / gram.square().sum(-1).clamp_min(1e-20)


def dimensions_per_feature(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack"]:
    """D* = m / ‖W‖²: hidden dimensions for each represented feature (a represented one adds about 1 to ‖W‖²)."""
    return W.shape[-2] / W.square().sum((-2, -1))


def turned(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack hidden feature"]:
    """The same arrangement, rotated and mirrored so that feature 0 lies along the first axis and feature 1 above it.

    This leaves WᵀW as it is, and so the outputs of a network without a hidden ReLU. Two networks that differ in nothing
    else become equal.
    """
    rotated = torch.linalg.qr(W, mode="r").R
    signs = rotated.diagonal(dim1=-2, dim2=-1).sign()
    return torch.where(signs == 0, 1, signs)[..., None] * rotated


def angles(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, " feature"]:
    """Angles in degrees between neighbouring features in a plane; they add up to 360.

    Raises:
        ValueError: if the hidden layer is not a plane.
    """
    if W.shape[0] != 2:
        raise ValueError(
            f"angles between neighbours need a plane, that is, 2 hidden dimensions; this model has {W.shape[0]}."
        )
    turns = torch.atan2(W[1], W[0]).rad2deg().sort().values
    return torch.cat([turns.diff(), (turns[0] + 360 - turns[-1])[None]])


@dataclass(frozen=True)
class Polytope:
    """A group of features that interfere with each other and with no others."""

    features: tuple[int, ...]
    """Their indices."""
    dimensions: int
    """Dimensions of hidden space that they span."""
    dimensionality: float
    """Mean D_i of these features."""

    @property
    def shape(self) -> tuple[int, int]:
        """(number of features, number of dimensions)."""
        return len(self.features), self.dimensions


def polytopes(W: Float[Tensor, "hidden feature"], touching: float = 0.15) -> list[Polytope]:
    """Groups of represented features that touch, directly or through others.

    Args:
        touching: two features touch if the magnitude of their cosine is larger than this. It is not zero, because
            training leaves directions slightly off their ideal angles.
    """
    present = represented(W).nonzero().flatten().tolist()
    D = dimensionality(W)
    unit = W / W.norm(dim=0).clamp_min(1e-9)
    touch = (unit.T @ unit).abs() > touching
    found, left = [], set(present)
    while left:
        component, queue = [], [min(left)]
        left.discard(queue[0])
        while queue:
            feature = queue.pop()
            component.append(feature)
            neighbours = [other for other in left if touch[feature, other]]
            left.difference_update(neighbours)
            queue.extend(neighbours)
        component.sort()
        values = torch.linalg.svdvals(W[:, component])
        dimensions = int((values > 0.25 * values[0]).sum())
        found.append(Polytope(tuple(component), dimensions, float(D[component].mean())))
    return found
