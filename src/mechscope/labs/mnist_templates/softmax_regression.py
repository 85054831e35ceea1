"""Softmax regression, trained for several label sets and weight decays in one go.

All instances see the same images in the same order, so their weights stand side by side in one matrix and a
training step is two matrix products. The gradient is written out: $x^T(p - y)$ is all there is to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm


@dataclass(frozen=True)
class Classifiers:
    """Several linear classifiers of the same images."""

    weight: Float[Tensor, "instance class pixel"]
    """Row c of an instance is the template of class c, in logits per unit of brightness."""
    bias: Float[Tensor, "instance class"]
    """In logits."""

    def logits(self, x: Float[Tensor, "batch pixel"], instance: int) -> Float[Tensor, "batch class"]:
        """What one instance says about the images."""
        return x @ self.weight[instance].T + self.bias[instance]


def train_classifiers(
    x: Float[Tensor, "batch pixel"],
    labels: Sequence[Int[Tensor, " batch"]],
    decays: Sequence[float],
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    bar: tqdm,
    classes: int = 10,
) -> Classifiers:
    """Adam with decoupled weight decay, one instance for each pair of labels and decay.

    Args:
        labels: the labels that each instance is trained on.
        decays: its weight decay; each step shrinks the weights by learning_rate × decay.

    Raises:
        ValueError: if there are not as many decays as label sets.
    """
    if len(labels) != len(decays):
        raise ValueError(f"{len(labels)} label sets and {len(decays)} decays; give one of each an instance.")
    generator = torch.Generator().manual_seed(seed)
    count, pixels = len(labels), x.shape[1]
    bound = pixels**-0.5
    weight = (torch.rand(pixels, count * classes, generator=generator) * 2 - 1) * bound
    weight = weight.to(x.device).requires_grad_()
    bias = torch.zeros(count * classes, device=x.device, requires_grad=True)
    wanted = torch.stack([torch.nn.functional.one_hot(y, classes) for y in labels], 1).to(x.dtype)
    optimizer = torch.optim.Adam([weight, bias], lr=learning_rate)
    shrink = 1 - learning_rate * torch.tensor(decays, device=x.device).repeat_interleave(classes)

    for rows in batches(len(x), batch, steps, generator):
        images, targets = x[rows], wanted[rows]
        logits = rearrange(images @ weight.detach() + bias.detach(), "b (i c) -> b i c", i=count)
        error = rearrange((logits.softmax(-1) - targets) / len(images), "b i c -> b (i c)")
        weight.grad, bias.grad = images.T @ error, error.sum(0)
        with torch.no_grad():
            weight.mul_(shrink)
            bias.mul_(shrink)
        optimizer.step()
        bar.update()
    return Classifiers(
        rearrange(weight.detach(), "p (i c) -> i c p", i=count).contiguous(),
        rearrange(bias.detach(), "(i c) -> i c", i=count).contiguous(),
    )


def batches(count: int, size: int, steps: int, generator: torch.Generator):
    """Rows of `steps` batches; each epoch is a new shuffle and its last, incomplete batch is left out."""
    size = min(size, count)
    left: list[Tensor] = []
    for _ in range(steps):
        if not left:
            left = list(torch.randperm(count, generator=generator).split(size))[::-1]
            if len(left[0]) < size:
                left.pop(0)
        yield left.pop()
