"""Whole numbers: Python's and NumPy's alike, and never True and False."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.arguments import is_number, is_whole_number
from mechscope.data.copying import Induction
from mechscope.data.ngrams import NGram
from mechscope.data.skip_trigrams import SkipTrigram
from mechscope.dictionaries.position_mask import position_mask
from mechscope.dictionaries.sources.config import SourceConfig
from mechscope.dictionaries.trained_positions import check_positions
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.slice import Slice
from mechscope.model.token_batch import Tokens
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques._random_null import check_count
from mechscope.techniques.attribution_patching import check_steps
from tests.model.tiny import tiny_model


@pytest.mark.parametrize("value", [0, 7, -3, 2**70, np.int64(4), np.uint8(4)])
def test_whole_numbers(value: object) -> None:
    assert is_whole_number(value)
    assert is_number(value, float)


@pytest.mark.parametrize(
    "value", [True, False, np.bool_(True), 1.0, np.float32(1), "1", None, [1], torch.tensor(1), np.array([1])]
)
def test_what_is_not_a_whole_number(value: object) -> None:
    assert not is_whole_number(value)


def test_limits_are_allowed_themselves() -> None:
    assert is_whole_number(1, least=1) and not is_whole_number(0, least=1)
    assert is_whole_number(5, 1, 5) and not is_whole_number(6, 1, 5)


class _Point(HookedRootModule):
    def __init__(self) -> None:
        super().__init__()
        self.hook = HookPoint()
        self.setup()


def _matrix() -> FactoredMatrix:
    return FactoredMatrix(torch.randn(3, 4, 2), torch.randn(3, 2, 5))


# What takes a whole number, by name, and a good value for it.
PLACES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "corner": (lambda n: _matrix().get_corner(n), 2),
    "batch size": (lambda n: HookedTransformerKeyValueCache.init_cache(tiny_model().cfg, batch_size=n), 2),
    "slice": (lambda n: Slice(n).apply(torch.arange(5)), 3),
    "hook level": (lambda n: _Point().add_hook("hook", lambda value, hook: None, level=n), 1),
    "vocabulary of a task": (lambda n: repeated_random_tokens(n, n=2, half=3, seed=0), 20),
    "vocabulary of a baseline": (lambda n: NGram(n).d_vocab, 5),
    "order of n-grams": (lambda n: NGram(5, n=n).n, 2),
    "window": (lambda n: SkipTrigram(5, window=n).window, 3),
    "match": (lambda n: Induction(5, match=n).match, 2),
    "random draws": (check_count, 2),
    "steps": (check_steps, 2),
    "skipped positions": (lambda n: position_mask(Tokens([[1, 2, 3, 4]]), skip_first=n), 1),
    "trained positions": (lambda n: check_positions([n]), 2),
    "excluded tokens": (
        lambda n: SourceConfig(model="m", hook="h", exclude_special_tokens=(n,)).exclude_special_tokens[0],
        2,
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_accepts_the_integers_of_numpy(place: str) -> None:
    call, good = PLACES[place]
    ours, numpys = call(good), call(np.int64(good))
    if isinstance(ours, int):
        assert type(numpys) is int and numpys == ours


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [True, 1.5, "2"])
def test_every_place_refuses_what_is_not_a_whole_number(place: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        PLACES[place][0](value)


def test_a_numpy_index_keeps_the_axis_of_a_factored_matrix() -> None:
    matrix = _matrix()
    assert torch.equal(matrix[0, np.int64(1)].AB, matrix[0, 1].AB)
    assert matrix[0, :, np.int64(-1)].shape == matrix[0, :, -1].shape == (4, 1)
