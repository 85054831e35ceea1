"""Every technique on a model in bfloat16 and float16, beside the same rounded weights in float32."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from mechscope import techniques
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.subspaces import complement, orthonormal_basis, principal_subspace
from tests.techniques.every_technique import (
    CALLS,
    WITHOUT_A_MODEL,
    direction_of,
    names_called,
    numbers_of,
    small_model,
    small_task,
)

# Activations and logits are rounded after every step: to 8 bits in bfloat16, so by up to 0.4 %, and to 11 in float16,
# by up to 0.05 %. Some ten steps add up on the way from the embedding to the logits, and an effect is a difference of
# two such runs. What a technique computes from them adds no rounding of its own.
TOLERANCE = {torch.bfloat16: 0.05, torch.float16: 0.008}
DTYPES = list(TOLERANCE)
COUNTS = {"key_frequencies"}


def test_every_public_technique_is_called() -> None:
    missing = set(techniques.__all__) - names_called() - WITHOUT_A_MODEL
    assert not missing, f"add a call to tests/techniques/every_technique.py for {sorted(missing)}"


@cache
def _models(dtype: torch.dtype) -> tuple[HookedTransformer, HookedTransformer]:
    """A model in a narrow type, and its weights in float32."""
    narrow = small_model().to(dtype)
    return narrow, copy.deepcopy(narrow).float()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_as_in_float32(name: str, dtype: torch.dtype) -> None:
    narrow, wide = _models(dtype)
    task = small_task(wide, examples=8)
    exact = {path: (array, scale) for path, array, scale in numbers_of(CALLS[name](wide, task))}
    found = {path: array for path, array, _ in numbers_of(CALLS[name](narrow, task))}
    assert exact
    assert found.keys() == exact.keys()
    for path, (array, scale) in exact.items():
        assert found[path].dtype in (np.float32, np.float64), path
        assert (np.isfinite(found[path]) == np.isfinite(array)).all(), path
        difference = np.abs(found[path] - array)
        assert np.nanmax(difference, initial=0.0) <= TOLERANCE[dtype] * scale, path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_directions_in_the_type_of_the_model(dtype: torch.dtype) -> None:
    """A direction read off a narrow model is narrow itself: as good as the same numbers in float32."""
    model, _ = _models(dtype)
    task, direction = small_task(model), direction_of(model).to(dtype)
    for call in (
        lambda vector: (
            techniques.directional_ablation(model, task, vector, n_random=2, progress=False).effects
        ),
        lambda vector: (
            techniques.subspace_patching(model, task, vector, 1, n_random=2, progress=False).effects
        ),
        lambda vector: (
            techniques.steering_curve(model, task, vector, 1, (1.0,), n_random=2, progress=False).effect
        ),
    ):
        np.testing.assert_array_equal(call(direction).values, call(direction.float()).values)
    torch.testing.assert_close(orthonormal_basis(direction), orthonormal_basis(direction.float()))
    rows = torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    basis = principal_subspace(rows, 2)
    assert basis.dtype == complement(basis).dtype == torch.float32


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_is_left_of_an_ablated_direction(dtype: torch.dtype) -> None:
    """The projection is taken out in float32, so what is left is the rounding of the result alone."""
    model, _ = _models(dtype)
    direction = direction_of(model)
    unit = (direction / direction.norm()).double()
    tokens = torch.arange(8)[None]
    with techniques.without_direction(model, direction), torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter="hook_embed")
    left = cache["hook_embed"].double() @ unit
    # Rounding errors of the entries are independent: their sum along a unit vector is about one of them.
    assert float(left.abs().max()) < 4 * torch.finfo(dtype).eps * float(cache["hook_embed"].abs().max())


def test_float64_stays_float64() -> None:
    """Exactness is shown in float64, so nothing may pass through float32 on the way."""
    model = small_model().double()
    task = small_task(model)
    lens = techniques.logit_lens(model, task, progress=False)
    attribution = techniques.direct_logit_attribution(model, task)
    results: list[Any] = [
        lens.logit,
        lens.kl,
        attribution.contributions,
        techniques.patch(model, task, progress=False),
        techniques.attribution_patching(model, task),
        techniques.ablation(model, task, progress=False),
    ]
    for result in results:
        assert result.values.dtype == np.float64, result.title
    assert techniques.steering_vector(model, task, layer=1, positions=[3]).dtype == torch.float64
    assert attribution.rest == pytest.approx(0, abs=1e-12)
