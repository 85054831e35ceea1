"""The basis against its definition, transforms against numpy's, shares against functions of known frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.techniques.fourier import (
    basis_frequencies,
    embedding_spectrum,
    fourier_basis,
    fourier_names,
    fourier_spectrum,
    frequency_power,
    frequency_shares,
    from_fourier,
    gini,
    keep_frequencies,
    key_frequencies,
    neuron_frequencies,
    pair_frequency_shares,
    sum_basis,
    to_fourier,
    to_fourier_2d,
)
from tests.model.tiny import exact_model


@given(p=st.integers(2, 60))
def test_the_basis_is_orthonormal_and_named(p: int) -> None:
    basis = fourier_basis(p)
    torch.testing.assert_close(basis @ basis.T, torch.eye(p, dtype=torch.float64), atol=1e-12, rtol=0)
    names = fourier_names(p)
    assert len(names) == p
    x = np.arange(p)
    for row, name, frequency in zip(basis, names, basis_frequencies(p).tolist(), strict=True):
        wave = np.sin if name.startswith("sin") else np.cos
        expected = wave(2 * np.pi * frequency * x / p)
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-9)


@given(p=st.integers(2, 40), seed=st.integers(0, 1000))
def test_power_is_that_of_the_discrete_fourier_transform(p: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(p, 3))
    spectrum = np.abs(np.fft.rfft(values, axis=0)) ** 2 / p
    spectrum[1 : (p - 1) // 2 + 1] *= 2  # the negative frequencies
    np.testing.assert_allclose(frequency_power(torch.tensor(values)), spectrum, atol=1e-9)
    np.testing.assert_allclose(frequency_power(torch.tensor(values.T), dim=1), spectrum.T, atol=1e-9)
    torch.testing.assert_close(from_fourier(to_fourier(torch.tensor(values))), torch.tensor(values))


def test_two_axes_are_one_after_the_other() -> None:
    values = torch.randn(7, 7, 2, dtype=torch.float64)
    basis = fourier_basis(7)
    expected = torch.einsum("ia,jb,abn->ijn", basis, basis, values)
    torch.testing.assert_close(to_fourier_2d(values), expected)


@pytest.mark.parametrize("p", [11, 12])
def test_a_pure_tone_is_one_frequency(p: int) -> None:
    angle = 2 * torch.pi * 3 * torch.arange(p) / p
    shares = frequency_shares(torch.stack([5 + angle.cos(), angle.sin() - angle.cos()], 1))
    assert shares.shape == (p // 2, 2)
    torch.testing.assert_close(shares[2], torch.ones(2, dtype=torch.float64))
    assert key_frequencies(shares[:, 0]) == [3]
    spectrum = fourier_spectrum(torch.stack([angle.cos(), 2 * (angle * 2 / 3).cos()], 1), of="tones")
    assert spectrum.values.sel(frequency=3) == pytest.approx(0.2, abs=1e-6)
    assert float(spectrum.values.sum()) == pytest.approx(1)
    assert spectrum.figure().layout.title.text == "Fourier spectrum of tones"


@pytest.mark.parametrize("p", [7, 10])
def test_neurons_of_pairs(p: int) -> None:
    a = 2 * torch.pi * torch.arange(p, dtype=torch.float64)[:, None] / p
    b = a.T
    waves = torch.stack(
        [
            torch.cos(2 * (a + b)) + 1,
            torch.cos(a).expand(p, p),
            torch.cos(2 * a) * torch.sin(2 * b) + torch.cos(2 * b),
            torch.cos(a) * torch.cos(2 * b),
        ],
        -1,
    )
    shares = pair_frequency_shares(waves)
    np.testing.assert_allclose(shares[1], [1, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(shares[0], [0, 1, 0, 0], atol=1e-9)
    assert neuron_frequencies(waves).values.dims == ("frequency", "neuron")
    # A function of a + b alone lies in the two directions of its frequency.
    directions = sum_basis(p, 2).flatten(1)
    tone = (waves[..., 0] - 1).flatten()
    torch.testing.assert_close((directions @ tone) @ directions, tone)


def test_keeping_frequencies_is_a_projection() -> None:
    values = torch.randn(9, 4, dtype=torch.float64)
    kept = keep_frequencies(values, [1, 3])
    torch.testing.assert_close(keep_frequencies(kept, [1, 3]), kept)
    torch.testing.assert_close(kept.mean(0), values.mean(0))
    power = frequency_power(kept)
    torch.testing.assert_close(power[[1, 3]], frequency_power(values)[[1, 3]])
    assert float(power[[2, 4]].abs().max()) < 1e-20


def test_an_embedding_with_two_frequencies() -> None:
    model = exact_model(d_vocab=18)
    x = 2 * torch.pi * torch.arange(17) / 17
    with torch.no_grad():
        model.W_E[:17] = 1.0
        model.W_E[:17, 0] += torch.cos(2 * x)
        model.W_E[:17, 1] += torch.sin(5 * x)
    found = embedding_spectrum(model)
    assert key_frequencies(found) == [2, 5]
    assert "p = 17" in found.provenance.task


def test_gini() -> None:
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 0, 7]) == pytest.approx(0.8)
    values = np.random.default_rng(0).random(30)
    pairwise = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(pairwise)


def test_mistakes_are_explained() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        fourier_basis(1)
    with pytest.raises(ValueError, match="1 to 3"):
        sum_basis(7, 4)
    with pytest.raises(ValueError, match="not vary"):
        frequency_shares(torch.ones(5, 2))
    with pytest.raises(ValueError, match="p p"):
        to_fourier_2d(torch.ones(5, 4))
    with pytest.raises(ValueError, match="same for every pair"):
        pair_frequency_shares(torch.ones(5, 5))
    with pytest.raises(ValueError, match="vocabulary of 30"):
        embedding_spectrum(exact_model(), 31)
    with pytest.raises(ValueError, match="not all 0"):
        gini([0, 0])
    with pytest.raises(ValueError, match="from 0"):
        key_frequencies([np.nan, 1])
