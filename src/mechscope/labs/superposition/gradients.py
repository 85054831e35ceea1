"""How toy models learn: initial weights, losses, and gradients written out by hand for a whole stack at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import ModelKind, ToyModels


def initial_models(
    kind: ModelKind, settings: int, starts: int, hidden: int, features: int, generator: torch.Generator
) -> ToyModels:
    """Xavier-normal weights and zero biases. Start k begins with the same weights in every setting.

    A `W_out` of its own begins with the sizes of such weights, none of them negative. With either sign, half of the
    outputs begin below zero for half of their feature's values; with sparse features nothing ever lifts them again,
    and training ends at ten times the loss that it can reach.
    """
    scale = (2 / (hidden + features)) ** 0.5

    def draw() -> Tensor:
        one = scale * torch.randn(starts, hidden, features, generator=generator)
        return one.repeat(settings, 1, 1, 1)

    W = draw()
    W_out = draw().abs() if kind == "untied" else W
    return ToyModels(kind, W, W_out, torch.zeros(settings, starts, features))


def losses(
    models: ToyModels,
    x: Float[Tensor, "setting feature batch"],
    target: Float[Tensor, "setting feature batch"],
    importance: Float[Tensor, "setting feature"],
) -> Float[Tensor, "setting start"]:
    """Importance-weighted squared error, summed over features, averaged over the batch."""
    error = models(x) - target[:, None]
    return torch.einsum("dsfb,df->ds", error.square_(), importance) / x.shape[-1]


@dataclass(frozen=True)
class Gradients:
    """Derivatives of the losses."""

    W: Float[Tensor, "setting start hidden feature"]
    """Of all uses of W: tied weights are used twice."""
    W_out: Float[Tensor, "setting start hidden feature"] | None
    """Where W_out has weights of its own."""
    b: Float[Tensor, "setting start feature"]
    """Of the biases."""


def gradients(
    models: ToyModels,
    x: Float[Tensor, "setting feature batch"],
    target: Float[Tensor, "setting feature batch"],
    importance: Float[Tensor, "setting feature"],
) -> Gradients:
    """Derivatives of `losses`, by hand: two matrix products forward, three back, three passes over the outputs.

    The importances scale whole features, so they are applied to the small products instead of to the batch.
    """
    settings, starts, hidden, features = models.W.shape
    stack, batch = settings * starts, x.shape[-1]
    h = models.hidden(x)
    y = models.read_out(h)
    error = torch.ops.aten.threshold_backward(y - target[:, None], y, 0)  # where ReLU is flat, nothing flows
    scaled = (2 / batch) * importance
    flat = error.view(stack, features, batch)
    by_output = torch.bmm(h.reshape(stack, hidden, batch), flat.transpose(1, 2))
    by_output = by_output.view_as(models.W) * scaled[:, None, None, :]
    weighted = (models.W_out * scaled[:, None, None, :]).view(stack, hidden, features)
    into_h = torch.bmm(weighted, flat).view_as(h)
    if models.kind != "linear":
        into_h = torch.ops.aten.threshold_backward(into_h, h, 0)
    by_input = torch.bmm(into_h.view(settings, starts * hidden, batch), x.transpose(1, 2)).view_as(models.W)
    bias = error.sum(-1) * scaled[:, None, :]
    if models.kind == "untied":
        return Gradients(by_input, by_output, bias)
    return Gradients(by_input + by_output, None, bias)
