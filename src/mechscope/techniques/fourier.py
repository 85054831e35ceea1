"""Fourier analysis over the numbers modulo p, for models that compute with angles.

The basis is real and orthonormal: a constant, then cos and sin of 2πkx/p for k = 1, 2, …; for an even p the last is
the alternating sign. Everything is float64, because the losses of such models reach 1e-7.
Source: Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from mechscope.arguments import checked_arguments
from mechscope.model.model_name import model_name
from mechscope.results import Provenance, Result, make_result
from mechscope.results.arrays import as_floats

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def fourier_basis(p: int) -> Float[torch.Tensor, "p p"]:
    """Return the basis as rows: constant, cos 1, sin 1, cos 2, sin 2, … (float64, orthonormal).

    >>> basis = fourier_basis(5)
    >>> bool(torch.allclose(basis @ basis.T, torch.eye(5, dtype=torch.float64)))
    True

    Raises:
        ValueError: for p below 2.
    """
    _check_p(p)
    x = torch.arange(p, dtype=torch.float64)
    rows = [torch.ones_like(x)]
    for k in range(1, (p - 1) // 2 + 1):
        # Reducing k x modulo p as integers avoids the rounding error of large angles.
        angle = 2 * torch.pi * ((k * torch.arange(p)) % p).double() / p
        rows += [angle.cos(), angle.sin()]
    if p % 2 == 0:
        rows.append(1.0 - 2.0 * (x % 2))
    basis = torch.stack(rows)
    return basis / basis.norm(dim=1, keepdim=True)


def fourier_names(p: int) -> list[str]:
    """The basis' names in order: "constant", "cos 1", "sin 1", …

    >>> fourier_names(4)
    ['constant', 'cos 1', 'sin 1', 'sign']
    """
    _check_p(p)
    waves = [f"{wave} {k}" for k in range(1, (p - 1) // 2 + 1) for wave in ("cos", "sin")]
    return ["constant", *waves, *(["sign"] if p % 2 == 0 else [])]


def basis_frequencies(p: int) -> torch.Tensor:
    """The frequency of each row of the basis [p]: 0, 1, 1, 2, 2, …"""
    return (torch.arange(p) + 1) // 2


def to_fourier(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Coefficients along one axis of length p, in float64.

    The sum of squares is preserved, because the basis is orthonormal.
    """
    moved = values.double().movedim(dim, -1)
    return (moved @ fourier_basis(moved.shape[-1]).to(moved.device).T).movedim(-1, dim)


def from_fourier(coefficients: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The values with these coefficients: the inverse of `to_fourier`."""
    moved = coefficients.double().movedim(dim, -1)
    return (moved @ fourier_basis(moved.shape[-1]).to(moved.device)).movedim(-1, dim)


def to_fourier_2d(values: Float[torch.Tensor, "p p ..."]) -> Float[torch.Tensor, "p p ..."]:
    """Coefficients of a function of pairs (a, b), over both axes.

    Raises:
        ValueError: if the first two axes differ.
    """
    if values.ndim < 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"a function of pairs must be [p p …], not {tuple(values.shape)}.")
    return to_fourier(to_fourier(values, 0), 1)


def sum_basis(p: int, frequency: int) -> Float[torch.Tensor, "2 p p"]:
    """cos and sin of 2πk(a+b)/p as functions of pairs, each of norm 1: the waves that addition modulo p uses.

    Raises:
        ValueError: for a frequency that p does not have.
    """
    _check_frequency(p, frequency)
    total = torch.arange(p)[:, None] + torch.arange(p)
    angle = 2 * torch.pi * ((frequency * total) % p).double() / p
    waves = torch.stack([angle.cos(), angle.sin()])
    # At frequency p/2 sin is zero everywhere, and stays zero.
    return waves / waves.flatten(1).norm(dim=1).clamp(min=1e-9)[:, None, None]


def frequency_power(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The sum of squared coefficients of each frequency, from 0 (the constant), along an axis."""
    squared = to_fourier(values, dim).movedim(dim, 0) ** 2
    p = len(squared)
    power = squared.new_zeros(p // 2 + 1, *squared.shape[1:])
    power.index_add_(0, basis_frequencies(p).to(squared.device), squared)
    return power.movedim(0, dim)


def frequency_shares(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The share of the variance along an axis that each frequency, from 1, explains; they sum to 1.

    Raises:
        ValueError: if nothing varies.
    """
    power = frequency_power(values, dim).movedim(dim, 0)
    total = power[1:].sum(0, keepdim=True)
    _check_varies(total, power[:1], "these values do not vary along that axis")
    return (power[1:] / total).movedim(0, dim)


def pair_frequency_shares(values: Float[torch.Tensor, "p p *rest"]) -> torch.Tensor:
    """The share of the variance of a function of pairs that each frequency explains [frequency …].

    For frequency k these are the products of {1, cos k, sin k} of a and of b, except the constant. The shares of
    different frequencies do not overlap; products that mix frequencies belong to none.

    Raises:
        ValueError: if the first two axes differ, or nothing varies.
    """
    squared = to_fourier_2d(values) ** 2
    p = squared.shape[0]
    total = squared.sum((0, 1)) - squared[0, 0]
    _check_varies(total, squared[0, 0], "these values are the same for every pair")
    frequencies = basis_frequencies(p)
    shares: list[torch.Tensor] = []
    for frequency in range(1, p // 2 + 1):
        block = [0, *(frequencies == frequency).nonzero()[:, 0].tolist()]
        inside = squared[block][:, block].sum((0, 1)) - squared[0, 0]
        shares.append(inside / total)
    return torch.stack(shares)


@checked_arguments
def key_frequencies(strength: Any, threshold: float = 0.25) -> list[int]:
    """The frequencies whose strength is more than `threshold` of the largest, in order.

    Args:
        strength: one number for each frequency from 1: norms or shares [frequency], or a Result of them.

    Raises:
        ValueError: for another shape or values that are negative or not finite.
    """
    values = as_floats(strength.values if isinstance(strength, Result) else strength)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"strengths are numbers from 0 [frequency], not {values!r:.80}.")
    return [place + 1 for place in np.flatnonzero(values > threshold * values.max()).tolist()]


@checked_arguments
def gini(values: Any) -> float:
    """How unequally a total is shared out: 0 where all are equal, near 1 where one has everything.

    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 1])
    (0.0, 0.75)

    Raises:
        ValueError: where there is nothing to share or a value is negative.
    """
    ordered = np.sort(as_floats(values).ravel())
    if not len(ordered) or ordered[0] < 0 or not np.isfinite(ordered).all() or ordered.sum() == 0:
        raise ValueError("the Gini coefficient is of values from 0 that are not all 0.")
    count = len(ordered)
    places = np.arange(1, count + 1)
    return float((2 * (places * ordered).sum() / ordered.sum() - count - 1) / count)


# Results ------------------------------------------------------------------------------------


@checked_arguments
def fourier_spectrum(
    values: torch.Tensor, *, of: str = "values", provenance: Provenance | None = None, dim: int = 0
) -> Result:
    """The share of the variance along an axis that each frequency explains, over all other axes together (frequency).

    Args:
        values: [p …]: an embedding [p d_model], neurons' activations [p neuron].
        of: a name for the values, for the title.
    """
    power = frequency_power(values, dim).movedim(dim, 0).reshape(values.shape[dim] // 2 + 1, -1).sum(1)
    _check_varies(power[1:].sum(), power[0], f"nothing varies along that axis of {of}")
    power = power[1:]
    return make_result(
        power / power.sum(),
        ("frequency",),
        f"Fourier spectrum of {of}",
        "share of variance",
        provenance or Provenance("", of),
        {"frequency": np.arange(1, len(power) + 1)},
        kind="bars",
    )


@checked_arguments
def embedding_spectrum(model: HookedTransformer, p: int | None = None, first: int = 0) -> Result:
    """The Fourier spectrum of the embedding of the numbers 0 to p - 1 (frequency).

    Args:
        p: how many tokens are numbers; None means all except the last one, the "=" of modular addition.
        first: the token of the number 0.

    Raises:
        ValueError: if the vocabulary is smaller than p.
    """
    p = model.cfg.d_vocab - 1 - first if p is None else p
    if p < 2 or not 0 <= first <= model.cfg.d_vocab - p:
        raise ValueError(
            f"p={p} numbers from token {first} on do not fit a vocabulary of {model.cfg.d_vocab} tokens (at least 2)."
        )
    numbers = model.W_E.detach()[first : first + p]
    return fourier_spectrum(
        numbers, of="the embedding", provenance=Provenance(model_name(model), f"weights, p = {p}")
    )


@checked_arguments
def neuron_frequencies(
    activations: Float[torch.Tensor, "p p neuron"], *, provenance: Provenance | None = None
) -> Result:
    """For every neuron, the share of its variance over pairs that each frequency explains (frequency, neuron).

    The largest share says how close a neuron is to a single-frequency neuron (Nanda et al. 2023, section 4).

    Raises:
        ValueError: for another shape, or a neuron that never varies.
    """
    if activations.ndim != 3:
        raise ValueError(f"activations over pairs must be [p p neuron], not {tuple(activations.shape)}.")
    shares = pair_frequency_shares(activations)
    return make_result(
        shares,
        ("frequency", "neuron"),
        "Variance of each neuron that one frequency explains",
        "share of variance",
        provenance or Provenance("", "pairs"),
        {"frequency": np.arange(1, len(shares) + 1)},
    )


def keep_frequencies(values: torch.Tensor, frequencies: Sequence[int], dim: int = 0) -> torch.Tensor:
    """Keep only the constant and some frequencies along an axis, in float64.

    Raises:
        ValueError: for a frequency that p does not have.
    """
    p = values.shape[dim]
    for frequency in frequencies:
        _check_frequency(p, frequency)
    kept = torch.isin(basis_frequencies(p), torch.tensor([0, *frequencies]))
    coefficients = to_fourier(values, dim).movedim(dim, -1)
    return from_fourier((coefficients * kept.to(coefficients)).movedim(-1, dim), dim)


def _check_p(p: int) -> None:
    if p < 2:
        raise ValueError(f"p must be at least 2, not {p}.")


def _check_frequency(p: int, frequency: int) -> None:
    _check_p(p)
    if not 1 <= frequency <= p // 2:
        raise ValueError(f"the frequencies of p={p} are 1 to {p // 2}, not {frequency}.")


def _check_varies(total: torch.Tensor, constant: torch.Tensor, what: str) -> None:
    """Refuse values whose variance is only the rounding error of their mean."""
    if not bool((total > 1e-24 * constant).all()) or not bool((total > 0).all()):
        raise ValueError(f"{what} (or are not finite), so no frequency explains anything.")
