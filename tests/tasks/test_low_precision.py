"""Metrics of logits in half precision: float32, and as exact as float64 of the same logits allows."""

from __future__ import annotations

import copy

import pytest
import torch

from mechscope.tasks.metrics import METRICS
from tests.techniques.every_technique import small_model
from tests.techniques.tiny_task import tiny_task

DTYPES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", METRICS)
def test_metric_is_that_of_the_logits(name: str, dtype: torch.dtype) -> None:
    """The metric adds no rounding of half precision: 1e-5 is float32's, summed over 500 tokens."""
    task = tiny_task(batch=6, d_vocab=500, n_answers=2, metric=name)
    draw = torch.Generator().manual_seed(0)
    logits, reference = ((6 * torch.randn(6, 2, 500, generator=draw)).to(dtype) for _ in range(2))
    found = task.measure(logits, reference)
    assert found.dtype == torch.float32
    exact = task.measure(logits.double(), reference.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", METRICS)
def test_baselines_are_those_of_float32(name: str, dtype: torch.dtype) -> None:
    narrow = small_model().to(dtype)
    wide = copy.deepcopy(narrow).float()
    task = tiny_task(batch=16, metric=name, seed=3)
    found, exact = task.baselines(narrow), task.baselines(wide)
    # Logits are rounded to 8 (11) bits after some ten roundings on the way.
    scale = max(1.0, float(task.logits(wide, task.clean).detach().abs().max()))
    tolerance = (0.05 if dtype == torch.bfloat16 else 0.008) * scale
    for side in ("clean", "corrupted"):
        assert getattr(found, side).dtype == torch.float32
        assert float((getattr(found, side) - getattr(exact, side)).mean().abs()) < tolerance, side
