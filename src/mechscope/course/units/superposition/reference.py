"""The solutions of unit 01."""

import torch
from jaxtyping import Float
from torch import Tensor


def sparse_batch(batch: int, features: int, density: float, seed: int) -> Float[Tensor, "batch feature"]:
    """Made-up inputs: each feature is present with probability `density`, and then has a strength between 0 and 1.

    Draw with one generator, torch.Generator().manual_seed(seed): first torch.rand(batch, features), where a number
    below the density means that the feature is present; then torch.rand(batch, features) for the strengths.
    """
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(batch, features, generator=generator) < density
    return present * torch.rand(batch, features, generator=generator)


def toy_forward(
    x: Float[Tensor, "batch feature"], W: Float[Tensor, "hidden feature"], b: Float[Tensor, " feature"]
) -> Float[Tensor, "batch feature"]:
    """The toy model: squeeze the features through the hidden dimensions, h = W x, and restore them, ReLU(Wᵀ h + b)."""
    return (x @ W.T @ W + b).relu()


def weighted_loss(
    x: Float[Tensor, "batch feature"],
    restored: Float[Tensor, "batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, ""]:
    """The squared errors, each times its feature's importance, summed over features and averaged over the batch."""
    return (importance * (x - restored).square()).sum(-1).mean()


def toy_gradient(
    x: Float[Tensor, "batch feature"],
    W: Float[Tensor, "hidden feature"],
    b: Float[Tensor, " feature"],
    importance: Float[Tensor, " feature"],
) -> tuple[Float[Tensor, "hidden feature"], Float[Tensor, " feature"]]:
    """The gradients of the weighted loss of the toy model for W and b, without autograd.

    W is used twice, to squeeze and to restore: its gradient is the sum of both parts.
    """
    hidden = x @ W.T
    before = hidden @ W + b
    error = 2 * importance * (before.relu() - x) * (before > 0) / len(x)
    return hidden.T @ error + (error @ W.T).T @ x, error.sum(0)


def feature_interference(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, " feature"]:
    """How much the other features get in the way of each: the sum of the squared inner products of its direction,
    scaled to length 1, with the columns of all others. No column is zero.
    """
    directions = W / W.norm(dim=0)
    overlaps = (directions.T @ W).square()
    return overlaps.sum(1) - overlaps.diagonal()


def feature_dimensionality(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, " feature"]:
    """The share of a dimension that each feature has: |W_i|² divided by the sum over all j, itself included, of the
    squared inner products of its direction, scaled to length 1, with W_j. (Elhage et al. 2022)
    """
    directions = W / W.norm(dim=0)
    return W.square().sum(0) / (directions.T @ W).square().sum(1)


def angles_between(W: Float[Tensor, "two feature"]) -> Float[Tensor, " feature"]:
    """For features in a plane: the angles in degrees between each direction and the next one around the circle.

    Begin with the direction of the smallest angle of torch.atan2 (y before x, between -180 and 180 degrees) and go
    around counter-clockwise, back to the beginning. The angles add up to 360.
    """
    directions = torch.rad2deg(torch.atan2(W[1], W[0])).sort().values
    following = torch.cat([directions[1:], directions[:1] + 360])
    return following - directions


def best_loss(density: float, importance: float) -> float:
    """The lowest expected loss with two features and one hidden dimension, if feature 0 has importance 1.

    Two ways are worth comparing. Ignore the less important feature and restore the other perfectly: an ignored feature
    costs its importance times its variance, and a feature that is uniform between 0 and 1 when present has the variance
    density / 3 - density² / 4. Or give both the same line in opposite directions: that costs something only if both are
    present, density² (1 + importance) / 6.
    """
    ignored = min(1.0, importance) * (density / 3 - density**2 / 4)
    antipodal = density**2 * (1 + importance) / 6
    return min(ignored, antipodal)
