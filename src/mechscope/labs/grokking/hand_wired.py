"""Addition modulo p without training: all weights are written by hand.

Heads of score 0 attend to a, b and "=" equally, so "=" receives the mean of the three embeddings: for every chosen
frequency k the vector (cos w_k a + cos w_k b, sin w_k a + sin w_k b) / 3. By the addition theorems that is a vector
of length 2|cos w_k(a-b)/2| / 3 in the direction of ±w_k(a+b)/2: half of the angle that we want. Neurons double it.
ReLUs that read M evenly spaced directions θ, weighted with (cos 2θ, sin 2θ), give the second harmonic:

    Σ_θ ReLU(r cos(φ-θ)) (cos 2θ, sin 2θ) ≈ M r / (3π) (cos 2φ, sin 2φ)

M is odd, so that the next harmonic in the sum is the (2M-2)th, too weak to matter. The unembedding compares with c:
logit(c) = Σ_k |cos w_k(a-b)/2| cos w_k(a+b-c) is largest at c = a + b.

Zhong et al. (2023) found this circuit in trained models and call it the pizza.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.full_batch import Weights
from mechscope.labs.grokking.training import initial_weights

SHARPNESS = 40.0
"""Factor of the logits, large enough to turn their margin into probabilities near 1."""


def hand_wired_addition(config: ModelConfig, frequencies: Sequence[int]) -> Weights:
    """Weights for a model of this lab that adds modulo p.

    Raises:
        ValueError: for frequencies outside 1 … p/2 or given twice, or for more than the model has room for.
    """
    p, count = config.p, len(frequencies)
    if not count or not all(1 <= k <= p // 2 for k in frequencies) or len(set(frequencies)) < count:
        raise ValueError(
            f"frequencies must be different whole numbers from 1 to {p // 2}, not {list(frequencies)}."
        )
    each = config.d_mlp // count
    each -= 1 - each % 2
    if 4 * count > config.d_model or each < 5:
        raise ValueError(
            f"{count} frequencies need d_model ≥ {4 * count} and d_mlp ≥ {5 * count}; the model has "
            f"{config.d_model} and {config.d_mlp}."
        )
    weights = {name: torch.zeros_like(tensor) for name, tensor in initial_weights(config, 0).items()}
    identity = torch.eye(config.d_model)
    # Together, the heads copy the residual stream.
    weights["blocks.0.attn.W_V"] = identity.unflatten(1, (config.n_heads, -1)).permute(1, 0, 2).contiguous()
    weights["blocks.0.attn.W_O"] = identity.unflatten(0, (config.n_heads, -1)).contiguous()
    number = torch.arange(p)
    theta = 2 * torch.pi * torch.arange(each).double() / each
    for place, k in enumerate(frequencies):
        angle = 2 * torch.pi * ((k * number) % p).double() / p
        read = slice(2 * place, 2 * place + 2)
        written = slice(2 * (count + place), 2 * (count + place) + 2)
        neurons = slice(place * each, (place + 1) * each)
        weights["embed.W_E"][:-1, read] = torch.stack([angle.cos(), angle.sin()], 1).float()
        weights["blocks.0.mlp.W_in"][read, neurons] = torch.stack([theta.cos(), theta.sin()]).float()
        doubled = torch.stack([(2 * theta).cos(), (2 * theta).sin()], 1) * (9 * math.pi / (2 * each))
        weights["blocks.0.mlp.W_out"][neurons, written] = doubled.float()
        weights["unembed.W_U"][written] = SHARPNESS * torch.stack([angle.cos(), angle.sin()]).float()
    return weights
