"""Fourier norms of weights, and the two Gini coefficients that are tracked during training."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from mechscope.techniques.fourier import frequency_power, gini, key_frequencies, to_fourier


def number_embedding(weights: Mapping[str, Tensor]) -> Float[Tensor, "p d_model"]:
    """The rows of W_E that belong to numbers, without "="."""
    return weights["embed.W_E"].detach()[:-1].cpu()


def neurons_to_logits(weights: Mapping[str, Tensor]) -> Float[Tensor, "d_mlp p"]:
    """W_L = W_out W_U: what each neuron adds to each logit, in float64."""
    W_out, W_U = weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
    return (W_out.detach().double() @ W_U.detach().double()).cpu()


def embedding_gini(weights: Mapping[str, Tensor]) -> float:
    """Gini coefficient of the norms of the embedding's Fourier components (all but the constant)."""
    return gini(to_fourier(number_embedding(weights))[1:].norm(dim=1).numpy())


def neuron_to_logit_gini(weights: Mapping[str, Tensor]) -> float:
    """The same for W_L, along the axis of the logits."""
    return gini(to_fourier(neurons_to_logits(weights), 1)[:, 1:].norm(dim=0).numpy())


def frequency_norms(values: Tensor, dim: int = 0) -> Float[Tensor, " frequency"]:
    """Norm of the Fourier components along an axis, for each frequency from 1; over all other axes."""
    return frequency_power(values, dim).movedim(dim, 0).flatten(1).sum(1)[1:].sqrt()


def keys_of(W_L: Float[Tensor, "d_mlp p"]) -> list[int]:
    """The key frequencies: those whose norm in W_L is more than a quarter of the largest."""
    return key_frequencies(frequency_norms(W_L, 1).numpy())
