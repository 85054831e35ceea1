"""Two small networks with one hidden layer: ReLU units, and bilinear units that have no threshold at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from mechscope.labs.mnist_templates.softmax_regression import batches

NetworkKind = Literal["relu", "bilinear"]


@dataclass(frozen=True)
class Network:
    """A trained network: relu(x W_in + b_in) W_out + b_out, or (x W_in * x V_in) W_out."""

    kind: NetworkKind
    """Which of the two."""
    tensors: dict[str, Tensor]
    """W_in [pixel, hidden], W_out [hidden, class]; relu: b_in, b_out; bilinear: V_in [pixel, hidden]."""

    def logits(self, x: Float[Tensor, "batch pixel"]) -> Float[Tensor, "batch class"]:
        """Class scores."""
        t = self.tensors
        if self.kind == "relu":
            return torch.relu(x @ t["W_in"] + t["b_in"]) @ t["W_out"] + t["b_out"]
        return (x @ t["W_in"]) * (x @ t["V_in"]) @ t["W_out"]

    def accuracy(self, x: Float[Tensor, "batch pixel"], y: Int[Tensor, " batch"]) -> float:
        """Share of right answers."""
        return float((self.logits(x).argmax(-1) == y).float().mean())


def train_network(
    kind: NetworkKind,
    x: Float[Tensor, "batch pixel"],
    y: Int[Tensor, " batch"],
    *,
    hidden: int,
    decay: float,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    bar: tqdm,
    noise: float = 0.0,
    classes: int = 10,
) -> Network:
    """AdamW with a learning rate that falls to zero in a straight line.

    Args:
        noise: standard deviation of Gaussian noise that is added to the training images.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(rows: int, columns: int) -> Tensor:
        return ((torch.rand(rows, columns, generator=generator) * 2 - 1) * rows**-0.5).to(x.device)

    tensors = {"W_in": uniform(x.shape[1], hidden), "W_out": uniform(hidden, classes)}
    if kind == "relu":
        tensors |= {
            "b_in": torch.zeros(hidden, device=x.device),
            "b_out": torch.zeros(classes, device=x.device),
        }
    else:
        tensors |= {"V_in": uniform(x.shape[1], hidden)}
    for tensor in tensors.values():
        tensor.requires_grad_()
    network = Network(kind, tensors)
    optimizer = torch.optim.AdamW(tensors.values(), lr=learning_rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for rows in batches(len(x), batch, steps, generator):
        images = x[rows]
        if noise:
            images = images + noise * torch.randn(images.shape, generator=generator).to(x.device)
        loss = torch.nn.functional.cross_entropy(network.logits(images), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.update()
    return Network(kind, {name: tensor.detach() for name, tensor in tensors.items()})
