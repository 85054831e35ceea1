"""The smallest push that hurts most: superposed features can be hit through each other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import ToyModels


def attack_directions(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, "attack feature"]:
    """Unit inputs that move one output each as far as a push of that length can: the rows of ±WᵀW, normalised.

    A gradient attack would often find nothing: where the output's ReLU is flat the gradient is zero.
    Source: Elhage et al. (2022), “Toy models of superposition”, on adversarial robustness.
    """
    rows = W.T @ W
    norms = rows.norm(dim=1)
    rows = rows[norms > 1e-3] / norms[norms > 1e-3, None]
    return torch.cat([rows, -rows])


def vulnerability(
    models: ToyModels, x: Float[Tensor, "1 feature batch"], size: float = 0.1
) -> Float[Tensor, ""]:
    """How much loss the worst push of one instance adds, divided by the push's squared length.

    The push is as long as `size` times the mean length of an input, and is chosen anew for each input among
    `attack_directions`. A network that passes every feature on by itself scores about 1.

    Raises:
        ValueError: for a stack of more than one instance.
    """
    if models.W.shape[:2] != (1, 1):
        raise ValueError(f"one instance at a time, not {tuple(models.W.shape[:2])}; see ToyModels.select.")
    length = size * x.norm(dim=1).mean()
    clean = (models(x)[0, 0] - x[0]).square().sum(0)
    worst = torch.full_like(clean, -torch.inf)
    for direction in attack_directions(models.W[0, 0]):
        y = models(x + length * direction[:, None])[0, 0]
        worst = torch.maximum(worst, (y - x[0]).square().sum(0))
    return (worst - clean).mean() / length**2
