"""A dictionary is an ordinary torch module: files, flattened parameters, pruning, derivatives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

from tests.dictionaries.helpers import shaken

ARCHITECTURES = ["relu", "topk", "batch_topk", "jumprelu", "gated", "matryoshka", "crosscoder"]
every = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(20, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@every
def test_flat_parameters_and_files(name: str, x: torch.Tensor, tmp_path: Path) -> None:
    dictionary, other, third = (shaken(name, seed=seed, d_in=16, d_sae=24) for seed in (1, 2, 3))
    assert all(parameter.is_contiguous() for parameter in dictionary.parameters())
    save_file(dictionary.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    vector_to_parameters(parameters_to_vector(dictionary.parameters()), third.parameters())
    for copied in (other, third):
        assert all(
            torch.equal(a, b) for a, b in zip(copied.parameters(), dictionary.parameters(), strict=True)
        )
    assert torch.equal(other(x), dictionary(x))


@every
def test_pruning(name: str, x: torch.Tensor) -> None:
    pruned, expected = (shaken(name, seed=1, d_in=16, d_sae=24) for _ in range(2))
    prune.l1_unstructured(pruned, "W_enc", 0.5)
    with torch.no_grad():
        expected.W_enc *= pruned.W_enc_mask
    assert torch.allclose(pruned(x), expected(x), atol=1e-12)


def test_lbfgs(x: torch.Tensor) -> None:
    dictionary = shaken("relu", seed=1, d_in=16, d_sae=24)
    optimizer = torch.optim.LBFGS(dictionary.parameters(), max_iter=3)

    def closure() -> float:
        optimizer.zero_grad()
        loss = dictionary.loss(x).total
        loss.backward()
        return float(loss.detach())

    before = closure()
    optimizer.step(closure)
    assert closure() < before


@every
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_not_floating_point(name: str, dtype: torch.dtype) -> None:
    dictionary = shaken(name, seed=1, d_in=16, d_sae=24)
    state = {**dictionary.state_dict()}
    state["W_dec"] = state["W_dec"].to(dtype)
    with pytest.raises(ValueError, match=f"W_dec is {str(dtype)[6:]}, but weights must be floating"):
        dictionary.load_state_dict(state)


@pytest.mark.parametrize("name", ["relu", "gated", "crosscoder"])
def test_derivatives_of_torch_func(name: str, x: torch.Tensor) -> None:
    dictionary = shaken(name, seed=1, d_in=16, d_sae=24)
    weights = dict(dictionary.named_parameters())
    found = torch.func.grad(lambda weights: functional_call(dictionary, weights, (x,)).square().sum())(
        weights
    )
    dictionary(x).square().sum().backward()
    for key, parameter in weights.items():
        if parameter.grad is not None:
            assert torch.allclose(found[key], parameter.grad, atol=1e-9), key
    rows = torch.func.vmap(dictionary)(x[:, None])[:, 0]
    assert torch.allclose(rows, dictionary(x), atol=1e-12)
