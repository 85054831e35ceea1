"""Turns in the path of a model's per-token losses over training, in the plane of their principal components.

At each evaluation, the losses on a fixed set of tokens are one point in a space with one axis per token. A model that
keeps learning the same thing moves along a line. When it begins to learn something else, the losses of other tokens
fall, and the path turns. Source: Olsson et al. (2022), "In-context learning and induction heads", who draw the path in
the plane of the first two principal components.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

PIECE = 0.15
"""Length of the pieces before and after a point that are compared, as a share of the whole path."""


def principal_path(losses: Float[Tensor, "step token"]) -> tuple[Float[Tensor, "step 2"], float]:
    """The path in the plane of its first two principal components, and the share of variance in that plane.

    Raises:
        ValueError: for fewer than three evaluations or two tokens, or losses that never change.
    """
    if losses.ndim != 2 or losses.shape[0] < 3 or losses.shape[1] < 2:
        raise ValueError(
            "a path in a plane needs losses [step token] of at least 3 evaluations on 2 tokens, not of shape "
            f"{tuple(losses.shape)}."
        )
    centred = losses.double() - losses.double().mean(0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    total = float(singular.square().sum())
    if total == 0:
        raise ValueError("these losses never change, so they have no path; did the training run?")
    return left[:, :2] * singular[:2], float(singular[:2].square().sum()) / total


def turning_angles(path: Float[Tensor, "step 2"], piece: float = PIECE) -> Float[Tensor, " step"]:
    """By how many degrees the path turns at each evaluation: 0 is straight on, 180 is straight back.

    It is the angle between two directions: from the point that lies `piece` of the path's length back, and to the point
    that lies as far ahead. Distances are measured along the path and not in steps, so that small random moves of a
    model that has stopped learning do not count as turns. NaN near the ends, where the path is not long enough.
    """
    lengths = path.double().diff(dim=0).norm(dim=1)
    along = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    reach = piece * float(along[-1])
    behind, ahead = (_points_at(path.double(), along, along + sign * reach) for sign in (-1, 1))
    before, after = path.double() - behind, ahead - path.double()
    cosine = (before * after).sum(1) / (before.norm(dim=1) * after.norm(dim=1))
    angles = cosine.clamp(-1, 1).arccos().rad2deg()
    inside = (along >= reach) & (along <= along[-1] - reach)
    return torch.where(inside, angles, torch.nan)


def largest_turn(
    step: Int[Tensor, " step"], angles: Float[Tensor, " step"], around: float, within: float
) -> float:
    """The largest turn, in degrees, at most `within` steps away from step `around`; 0 if no angle is known there."""
    near = angles[(step - around).abs() <= within]
    near = near[near.isfinite()]
    return float(near.max()) if len(near) else 0.0


def _points_at(
    path: Float[Tensor, "step 2"], along: Float[Tensor, " step"], where: Float[Tensor, " step"]
) -> Float[Tensor, "step 2"]:
    """Points of the path at these distances along it; its end points for distances beyond them."""
    inside = where.clamp(0, float(along[-1]))
    after = torch.searchsorted(along, inside).clamp(1, len(along) - 1)
    low, high = along[after - 1], along[after]
    share = torch.where(high > low, (inside - low) / (high - low), torch.zeros_like(low))
    return path[after - 1] + share[:, None] * (path[after] - path[after - 1])
