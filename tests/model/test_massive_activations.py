"""The rule for massive activations: a multiple of the median length, for exceptions only."""

import math

import pytest
import torch

from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.model.massive_activations import FACTOR, LARGEST_SHARE, is_massive, length_limit


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_few_planted_ones_are_found_and_no_others(seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 25, 16, generator=generator)
    planted = torch.zeros(1000, dtype=torch.bool)
    planted[torch.randperm(1000, generator=generator)[:7]] = True
    planted = planted.view(40, 25)
    x[planted] *= 100
    x = x.to(dtype)
    found = is_massive(x, length_limit(x))
    assert torch.equal(found, planted)
    # The sabotage: by the mean instead of the median, the planted ones raise the limit.
    mean = float(x.float().norm(dim=-1).mean())
    assert length_limit(x) < FACTOR * mean


def test_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0]] * 9 + [[0.0, 10.0]] + [[300.0, 400.0]])
    assert length_limit(x) == 125.0
    assert length_limit(x, 2.0) == 10.0
    assert is_massive(x, 10.0).tolist() == [False] * 10 + [True]


def test_what_is_common_is_not_massive() -> None:
    ordinary, long = torch.ones(90, 4), torch.ones(10, 4) * 100
    assert length_limit(torch.cat([ordinary, long])) == 50.0 and LARGEST_SHARE == 0.1
    assert length_limit(torch.cat([ordinary, long, long[:1]])) == math.inf
    # An output that is 0 at most tokens has no typical length.
    sparse = torch.zeros(90, 4)
    assert length_limit(torch.cat([sparse, long[:3]])) == math.inf
    assert not bool(is_massive(long, math.inf).any())


def test_the_training_config_has_the_same_factor() -> None:
    # It does not load torch, so it cannot import the constant.
    assert TrainingConfig(steps=1).outlier_factor == FACTOR


def test_errors() -> None:
    with pytest.raises(ValueError, match="no activations"):
        length_limit(torch.zeros(0, 4))
    for factor in (1.0, 0.0, float("nan")):
        with pytest.raises(ValueError, match="above 1"):
            length_limit(torch.ones(3, 4), factor)
