"""Hide a compiled circuit: add small random weights everywhere, and rotate all bases so that nothing is axis-aligned.

Rotations change activations only by a change of basis: without norms, a model whose residual stream, queries and
keys, values and neurons are expressed in other bases computes the same logits.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from einops import einsum

from mechscope.planted._weights import Weights

Tensor = torch.Tensor


def add_noise(weights: Weights, noise: float, generator: torch.Generator) -> Weights:
    """Normal noise on every weight, of standard deviation noise / sqrt(number of inputs of a unit).

    So the noise in a unit that reads a residual stream of norm one is about `noise`, whatever the width.
    """
    if noise == 0:
        return weights

    def noisy(name: str, weight: Tensor) -> Tensor:
        if weight.numel() == 0:
            return weight
        inputs = weight.shape[-2] if name[0] == "W" and name not in ("W_E", "W_pos") else weight.shape[-1]
        draw = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        return weight + draw * (noise / inputs**0.5)

    return Weights(**{name: noisy(name, weight) for name, weight in weights.items()})


def rotate(weights: Weights, generator: torch.Generator) -> Weights:
    """The same function in random bases of the residual stream and of each head, with neurons in random order."""
    residual = random_rotation(weights.W_E.shape[1], generator)
    layers, heads, _, d_head = weights.W_Q.shape
    if layers * heads:
        scores, values = (
            torch.stack(
                [
                    torch.stack([random_rotation(d_head, generator) for _ in range(heads)])
                    for _ in range(layers)
                ]
            )
            for _ in range(2)
        )
    else:
        scores = values = torch.zeros(layers, heads, d_head, d_head, dtype=residual.dtype)

    def in_head(weight: Tensor, turn: Tensor) -> Tensor:
        return einsum(
            residual.T @ weight,
            turn,
            "layer head d_model d_head, layer head d_head turned -> layer head d_model turned",
        )

    def turned(bias: Tensor, turn: Tensor) -> Tensor:
        return einsum(bias, turn, "layer head d_head, layer head d_head turned -> layer head turned")

    order = torch.stack([torch.randperm(weights.W_in.shape[-1], generator=generator) for _ in range(layers)])
    rows = torch.arange(layers)[:, None]
    return replace(
        weights,
        W_E=weights.W_E @ residual,
        W_pos=weights.W_pos @ residual,
        W_Q=in_head(weights.W_Q, scores),
        b_Q=turned(weights.b_Q, scores),
        W_K=in_head(weights.W_K, scores),
        b_K=turned(weights.b_K, scores),
        W_V=in_head(weights.W_V, values),
        b_V=turned(weights.b_V, values),
        W_O=values.mT @ weights.W_O @ residual,
        b_O=weights.b_O @ residual,
        W_in=(residual.T @ weights.W_in).mT[rows, order].mT,
        b_in=weights.b_in[rows, order],
        W_out=weights.W_out[rows, order] @ residual,
        b_out=weights.b_out @ residual,
        W_U=residual.T @ weights.W_U,
    )


def random_rotation(size: int, generator: torch.Generator) -> Tensor:
    """A uniformly random orthogonal matrix [size size], in float64."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r))
