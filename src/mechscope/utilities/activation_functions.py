"""The classic module `utilities.activation_functions`."""

from mechscope.utils import (
    SUPPORTED_ACTIVATIONS,
    ActivationFunction,
    gelu_fast,
    gelu_new,
    gelu_pytorch_tanh,
    solu,
)

__all__ = [
    "SUPPORTED_ACTIVATIONS",
    "ActivationFunction",
    "gelu_fast",
    "gelu_new",
    "gelu_pytorch_tanh",
    "solu",
]
