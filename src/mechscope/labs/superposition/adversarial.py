"""Small pushes that add a lot of loss: features in superposition can be hit through each other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import ToyModels


def attack_directions(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, "attack feature"]:
    """Unit inputs, each of which moves one output as far as an input of length 1 can: the rows of ±WᵀW, normalised.

    A gradient attack would often find nothing, because the gradient is zero while the output's ReLU is off.
    Source: Elhage et al. (2022), “Toy models of superposition”, on adversarial robustness.
    """
    rows = W.T @ W
    norms = rows.norm(dim=1)
    rows = rows[norms > 1e-3] / norms[norms > 1e-3, None]
    return torch.cat([rows, -rows])


def vulnerability(
    models: ToyModels, x: Float[Tensor, "1 feature batch"], size: float = 0.1
) -> Float[Tensor, ""]:
    """How much loss the worst push adds to one network, divided by the push's squared length.

    The length of the push is `size` times the mean length of an input; its direction is the worst of
    `attack_directions` for each input. A network without superposition scores about 1.

    Raises:
        ValueError: for more than one network.
    """
    if models.W.shape[:2] != (1, 1):
        settings, starts = models.W.shape[:2]
        raise ValueError(
            f"vulnerability is measured on one network, not on a stack of {settings} settings and {starts} starts: "
            "choose one with ToyModels.select(setting, start)."
        )
    length = size * x.norm(dim=1).mean()
    clean = (models(x)[0, 0] - x[0]).square().sum(0)
    worst = torch.full_like(clean, -torch.inf)
    for direction in attack_directions(models.W[0, 0]):
        y = models(x + length * direction[:, None])[0, 0]
        worst = torch.maximum(worst, (y - x[0]).square().sum(0))
    return (worst - clean).mean() / length**2
