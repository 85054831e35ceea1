"""Baseline for toy models: the lowest loss of any linear map through the hidden layer, in closed form.

The target is √I x, feature by feature; the map has rank m and may add a constant. This is a principal component
analysis: the loss is the variance along all directions but the m largest. Independent features have variance
p/3 − p²/4 and no covariance, so the best map keeps the m most important ones and outputs the mean of each of the rest.
The covariance within a pair is p/4 − p²/4 if its features occur together, and −p²/4 if they exclude each other.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import FeatureKind, Group


def best_linear_losses(group: Group) -> Float[Tensor, " setting"]:
    """Lowest importance-weighted squared error of x ↦ A x + c, with A of rank m, for each setting.

    The absolute values of signed features have no covariance with the features, so the best linear map outputs their
    mean.
    """
    settings = zip(group.density, group.importance, strict=True)
    return torch.stack([_lost(group, p, torch.tensor(row, dtype=torch.float64)) for p, row in settings])


def _lost(group: Group, p: float, importance: Float[Tensor, " feature"]) -> Tensor:
    if group.features == "signed":
        return (p / 3 - p * p / 4) * importance.sum()
    covariance = feature_covariance(group.features, p, group.n_features)
    weighted = importance.sqrt()[:, None] * covariance * importance.sqrt()
    variances = torch.linalg.eigvalsh(weighted)  # from the smallest
    return variances[: max(0, group.n_features - group.n_hidden)].sum()


def feature_covariance(kind: FeatureKind, p: float, n_features: int) -> Float[Tensor, "feature feature"]:
    """Covariance of the features of density p; "signed" ones, on [-1, 1], have variance p/3."""
    covariance = torch.eye(n_features, dtype=torch.float64) * (
        p / 3 if kind == "signed" else p / 3 - p * p / 4
    )
    if kind in ("correlated", "anticorrelated"):
        within = -p * p / 4 + (p / 4 if kind == "correlated" else 0)
        first = torch.arange(0, n_features, 2)
        covariance[first, first + 1] = covariance[first + 1, first] = within
    return covariance
