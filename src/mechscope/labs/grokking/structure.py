"""What a trained model computes with: its key frequencies, and how much of the model they explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.labs.grokking.anatomy import Anatomy
from mechscope.labs.grokking.fourier_ablation import loss_without_each
from mechscope.labs.grokking.spectra import frequency_norms, keys_of
from mechscope.techniques.fourier import (
    basis_frequencies,
    frequency_power,
    neuron_frequencies,
    to_fourier,
)

SINGLE = 0.85
"""A single-frequency neuron is one whose best frequency explains more than this share of its variance."""
SINGLE_HEAD = 0.95
"""A single-frequency head is one whose best frequency explains at least this share of its attention's variance."""
MOST_KEYS = 6
"""Most key frequencies that count in `outside_keys`: if all frequencies were keys, nothing could lie outside them."""


@dataclass(frozen=True)
class Structure:
    """A model's Fourier anatomy."""

    keys: list[int]
    """Key frequencies."""
    embedding_norms: Float[Tensor, " frequency"]
    """Norm of each frequency in the embedding."""
    W_L_norms: Float[Tensor, " frequency"]
    """Norm of each frequency in W_L, along the axis of the logits."""
    explained: float
    """Share of the logits' variance that Σ α_k cos w_k(a+b-c) over the key frequencies explains."""
    outside: float
    """Share of W_L's squared Frobenius norm that lies outside the key frequencies, the six strongest at most."""
    neuron_shares: Float[Tensor, "frequency neuron"]
    """Share of each neuron's variance over pairs that each frequency explains; 0 for a constant neuron."""
    firing: Float[Tensor, " neuron"]
    """Share of the pairs on which each neuron is active."""
    influence: Float[Tensor, " neuron"]
    """Each neuron's effect on the logits: its standard deviation over pairs times the norm of its row of W_L."""
    head_shares: Float[Tensor, "frequency head"]
    """Share of the variance of each head's attention to the first number, over all pairs, that the formula of
    `head_shares` explains with each frequency; 0 for constant attention."""
    loss: float
    """Mean loss over all pairs, in nats."""
    accuracy: float
    """Share of right answers over all pairs."""
    loss_without: Float[Tensor, " frequency"]
    """Loss over all pairs with cos and sin w_k(a+b) of one frequency removed from the logits."""

    @property
    def single_neurons(self) -> float:
        """Share of neurons that are single-frequency. Neurons that never fire are not."""
        return float((self.neuron_shares.amax(0) > SINGLE).double().mean())

    @property
    def mixed(self) -> Bool[Tensor, " neuron"]:
        """Which neurons are active on some pair, but not single-frequency."""
        return (self.neuron_shares.amax(0) <= SINGLE) & (self.firing > 0)

    @property
    def mixed_firing(self) -> float:
        """Mean share of the pairs on which a mixed neuron is active; NaN without mixed neurons."""
        return float(self.firing[self.mixed].mean())

    @property
    def mixed_influence(self) -> float:
        """The mixed neurons' share of all neurons' influence on the logits."""
        return float(self.influence[self.mixed].sum() / self.influence.sum())

    @property
    def single_heads(self) -> float:
        """Share of heads that are single-frequency."""
        return float((self.head_shares.amax(0) >= SINGLE_HEAD).double().mean())

    @property
    def worst_head(self) -> float:
        """Smallest share of a head's attention that its best frequency explains."""
        return float(self.head_shares.amax(0).amin())

    @property
    def separation(self) -> float:
        """Cost of removing the least important key frequency, over that of the most important other frequency."""
        change = self.loss_without - self.loss
        is_key = torch.zeros(len(change), dtype=torch.bool)
        is_key[[key - 1 for key in self.keys]] = True
        if bool(is_key.all()):
            return float("nan")
        return float(change[is_key].min() / change[~is_key].abs().max())


def analyse_structure(anatomy: Anatomy) -> Structure:
    """Find the key frequencies and what they explain."""
    keys = keys_of(anatomy.W_L)
    return Structure(
        keys=keys,
        embedding_norms=frequency_norms(anatomy.embedding),
        W_L_norms=frequency_norms(anatomy.W_L, 1),
        explained=explained_by_cosines(anatomy.logits, keys),
        outside=outside_keys(anatomy.W_L, keys),
        neuron_shares=neuron_shares(anatomy.neurons),
        firing=(anatomy.neurons > 0).double().mean((0, 1)),
        influence=anatomy.neurons.flatten(0, 1).std(0) * anatomy.W_L.double().norm(dim=1),
        head_shares=head_shares(anatomy.pattern),
        loss=anatomy.loss(),
        accuracy=anatomy.accuracy(),
        loss_without=loss_without_each(anatomy.logits),
    )


def explained_by_cosines(logits: Float[Tensor, "p p p"], keys: Sequence[int]) -> float:
    """R² of the best fit logits(a, b, c) ≈ α_0 + Σ_k α_k cos w_k(a+b-c) over the key frequencies.

    The cosines are orthogonal over all (a, b, c), so least squares is a projection onto each.
    """
    p = len(logits)
    number = torch.arange(p)
    # A function of a + b - c can only explain the mean logit for each of its values.
    distance = (number[:, None, None] + number[:, None] - number) % p
    means = torch.zeros(p, dtype=torch.float64).index_add_(0, distance.flatten(), logits.double().flatten())
    means = means / p**2
    total = logits.double().var(correction=0) * p
    explained = 0.0
    for key in keys:
        wave = torch.cos(2 * torch.pi * ((key * number) % p).double() / p)
        explained += float((means @ wave) ** 2 / (wave @ wave))
    return explained / float(total)


def outside_keys(W_L: Float[Tensor, "d_mlp p"], keys: Sequence[int]) -> float:
    """1 - ‖P W_L‖² / ‖W_L‖²: the share of the squared Frobenius norm outside cos and sin of the key frequencies.

    The part that is equal for all answers is removed first, because it changes no probability. If there are more than
    six key frequencies, only the six strongest count.
    """
    coefficients = to_fourier(W_L, 1)[:, 1:]
    strength = frequency_norms(W_L, 1)
    kept = sorted(keys, key=lambda k: float(strength[k - 1]), reverse=True)[:MOST_KEYS]
    others = ~torch.isin(basis_frequencies(W_L.shape[1])[1:], torch.tensor(kept))
    return float(coefficients[:, others].square().sum() / coefficients.square().sum())


def neuron_shares(neurons: Float[Tensor, "p p neuron"]) -> Float[Tensor, "frequency neuron"]:
    """Share of each neuron's variance over pairs that each frequency explains; 0 for a constant neuron."""
    alive = neurons.flatten(0, 1).std(0) > 1e-9
    shares = torch.zeros(neurons.shape[0] // 2, neurons.shape[-1], dtype=torch.float64)
    if bool(alive.any()):
        shares[:, alive] = torch.from_numpy(neuron_frequencies(neurons[..., alive]).values.values.copy())
    return shares


def head_shares(pattern: Float[Tensor, "p p head"]) -> Float[Tensor, "frequency head"]:
    """R² of a one-frequency formula for each head's attention to the first number; 0 for constant attention.

    Over all pairs the attention is fitted by 1/2 + α (cos w_k a - cos w_k b) + β (sin w_k a - sin w_k b). The 1/2 is
    fixed, because a head that attends elsewhere on average does not follow the formula. The two differences are
    orthogonal, each with the squared norm p², so the fit is a projection. Source: Nanda et al. (2023), who expand the
    sigmoid of a difference of waves to first order.
    """
    p = len(pattern)
    rest = pattern.double() - 0.5
    spread = (pattern.double() - pattern.double().mean((0, 1))).square().sum((0, 1))
    # The sum over pairs of rest × (cos w_k a - cos w_k b) needs only the means over b and over a.
    waves = frequency_power(rest.mean(1) - rest.mean(0))[1:]
    varies = spread > 1e-18 * p**2
    missed = rest.square().sum((0, 1)) - waves * p / 2
    return torch.where(varies, 1 - missed / spread, 0.0)
