"""The activation functions of MLPs, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float

Activation = Callable[[torch.Tensor], torch.Tensor]


def gelu_tanh(input: Float[torch.Tensor, "*batch neuron"]) -> Float[torch.Tensor, "*batch neuron"]:
    """The tanh approximation of GELU (Hendrycks and Gimpel 2016), which GPT-2 uses."""
    return F.gelu(input, approximate="tanh")


def gelu_fast(input: Float[torch.Tensor, "*batch neuron"]) -> Float[torch.Tensor, "*batch neuron"]:
    """The same approximation with sqrt(2/pi) rounded to 0.7978845608, which some checkpoints were trained with."""
    return 0.5 * input * (1.0 + torch.tanh(0.7978845608 * input * (1.0 + 0.044715 * input * input)))


def gelu_exact(input: Float[torch.Tensor, "*batch neuron"]) -> Float[torch.Tensor, "*batch neuron"]:
    """GELU: the input times the normal cumulative distribution function at the input."""
    return F.gelu(input)


def solu(input: Float[torch.Tensor, "*batch neuron"]) -> Float[torch.Tensor, "*batch neuron"]:
    """input * softmax(input) over the neurons (Elhage et al. 2022).

    >>> solu(torch.tensor([0.0, 0.0])).tolist()
    [0.0, 0.0]
    """
    return input * F.softmax(input, dim=-1)


ACTIVATIONS: dict[str, Activation] = {
    "relu": F.relu,
    "gelu": gelu_exact,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_fast": gelu_fast,
    "silu": F.silu,
    "solu": solu,
    "solu_ln": solu,
}
