"""Is the explanation faithful? Replace parts of a model by what the explanation says they are, and measure the loss.

Source: Nanda et al. (2023), "Progress measures for grokking via mechanistic interpretability", Table 1 and section 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking.anatomy import Anatomy
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.techniques.fourier import (
    basis_frequencies,
    fourier_basis,
    from_fourier,
    sum_basis,
    to_fourier_2d,
)

RANDOM_DIRECTIONS = 64
"""Number of random directions of neuron space that the key directions are compared with."""


def replacement_losses(anatomy: Anatomy, keys: Sequence[int]) -> dict[str, float]:
    """Loss over all pairs, in nats, with one part of the model replaced at a time.

    Returns:
        "whole": the model as it is. "sums": only cos and sin w_k(a+b) of the key frequencies are kept in the neurons.
        "waves": only products of waves of a and b are kept in the logits, eight for each key frequency. "inside": the
        neurons are projected onto the two directions per key frequency that W_L reads. "outside": the rest of that
        projection. "sums and mean", "waves and mean": the mean over all pairs is kept as well.
    """
    neurons = anatomy.neurons
    # What bypasses the neurons (the direct path and the biases) stays unchanged.
    rest = anatomy.logits - neurons @ anatomy.W_L
    onto_sums = torch.cat([sum_basis(anatomy.p, k) for k in keys])
    sums = torch.einsum("wab,wn->abn", onto_sums, torch.einsum("wab,abn->wn", onto_sums, neurons))
    waves = only_waves(anatomy.logits, keys)
    directions = torch.linalg.qr(key_directions(anatomy.W_L, keys).flatten(0, 1).T).Q
    inside = neurons @ directions @ directions.T
    return {
        "whole": anatomy.loss(),
        "sums": _loss(rest + sums @ anatomy.W_L),
        "waves": _loss(waves),
        "inside": _loss(rest + inside @ anatomy.W_L),
        "outside": _loss(rest + (neurons - inside) @ anatomy.W_L),
        "sums and mean": _loss(rest + (sums + neurons.mean((0, 1))) @ anatomy.W_L),
        "waves and mean": _loss(waves + anatomy.logits.mean((0, 1))),
    }


def key_directions(
    W_L: Float[Tensor, "d_mlp p"], frequencies: Sequence[int]
) -> Float[Tensor, "frequency 2 d_mlp"]:
    """The two directions u_k, v_k of neuron space from which W_L writes cos w_k c and sin w_k c, each of norm 1."""
    basis = fourier_basis(W_L.shape[1])
    rows = torch.stack([basis[[2 * k - 1, 2 * k]] for k in frequencies])
    directions = rows @ W_L.double().T
    return directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def explained_by_sums(values: Float[Tensor, "p p *rest"], frequency: int) -> Float[Tensor, "*rest"]:
    """Share of the variance over all pairs that cos and sin w_k(a+b) explain (least squares); 0 if nothing varies."""
    waves = sum_basis(values.shape[0], frequency)
    centred = values.double() - values.double().mean((0, 1))
    explained = torch.einsum("wab,ab...->w...", waves, centred).square().sum(0)
    spread = centred.square().sum((0, 1))
    return torch.where(spread > 1e-18, explained / spread.clamp_min(1e-18), 0.0)


def direction_shares(anatomy: Anatomy, keys: Sequence[int]) -> Float[Tensor, "key 2"]:
    """Share of the variance of u_k · neurons and v_k · neurons that cos and sin w_k(a+b) explain, for each key."""
    directions = key_directions(anatomy.W_L, keys)
    read = torch.einsum("abn,kwn->abkw", anatomy.neurons, directions)
    return torch.stack([explained_by_sums(read[:, :, row], k) for row, k in enumerate(keys)])


def random_direction_shares(anatomy: Anatomy, keys: Sequence[int], seed: int) -> Float[Tensor, " direction"]:
    """The same for random directions of neuron space, each with the key frequency that explains most of it."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(
        RANDOM_DIRECTIONS, anatomy.neurons.shape[-1], generator=generator, dtype=torch.float64
    )
    read = anatomy.neurons @ directions.T
    return torch.stack([explained_by_sums(read, k) for k in keys]).amax(0)


def only_waves(logits: Float[Tensor, "p p p"], keys: Sequence[int]) -> Float[Tensor, "p p p"]:
    """The part of the logits in products of waves of a and b of the same key frequency, without the constant."""
    frequencies = basis_frequencies(len(logits))
    kept = torch.zeros(len(logits), len(logits), dtype=torch.bool)
    for key in keys:
        block = (frequencies == 0) | (frequencies == key)
        kept |= block[:, None] & block
    kept[0, 0] = False
    coefficients = to_fourier_2d(logits) * kept[:, :, None]
    return from_fourier(from_fourier(coefficients, 0), 1)


def _loss(logits: Float[Tensor, "p p p"]) -> float:
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), all_pairs(len(logits)).answer))
