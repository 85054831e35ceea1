"""A model that does not fit into memory is refused before its weights are read, with how much it needs."""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints import load, memory_check
from mechscope.checkpoints.checkpoint import Checkpoint
from mechscope.checkpoints.memory_check import TooLittleMemoryError, memory_needed
from mechscope.main_memory import MainMemory

NAME = "mini-gelu-2l"


@pytest.fixture
def needed() -> int:
    """What the model needs unprocessed, in bytes."""
    return memory_needed(ms.load_model(NAME, process=False).cfg, untied=False)


def there_is(monkeypatch: pytest.MonkeyPatch, available: float, total: float, swap: float = 0) -> None:
    found = MainMemory(int(available), int(total), int(swap))
    monkeypatch.setattr(memory_check, "main_memory", lambda: found)


def test_the_estimate_is_the_weights_and_one_tensor_in_float32() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        model = ms.load_model(NAME, dtype=dtype)
        weights = sum(weight.numel() for weight in model.parameters()) * dtype.itemsize
        largest = max(weight.numel() for weight in model.parameters()) * 4
        assert memory_needed(model.cfg, untied=True) == pytest.approx(weights + largest, rel=0.01)
    tied = dataclasses.replace(model.cfg, tie_word_embeddings=True)
    assert memory_needed(tied, untied=True) > memory_needed(tied, untied=False)


@pytest.mark.parametrize("process", [True, False])
def test_what_fits_is_loaded_without_a_word(
    process: bool, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_is(monkeypatch, 4 * needed, 8 * needed)
    ms.load_model(NAME, process=process)  # warnings are errors


def test_what_is_far_too_large_is_refused_before_it_is_read(
    needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "process_parts", None)
    for available, total in ((needed / 2, 10 * needed), (needed / 2.1, needed / 2)):
        there_is(monkeypatch, available, total)
        with pytest.raises(TooLittleMemoryError, match="does not fit into memory") as caught:
            ms.load_model(NAME)
        sentence = str(caught.value)
        assert re.search(
            r"in float32 needs about [\d.]+ MB, and [\d.]+ MB of [\d.]+ MB are available", sentence
        )
        assert "dtype='bfloat16'" in sentence and "first_n_layers" in sentence
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, MemoryError)
    with pytest.raises(TooLittleMemoryError) as narrow:
        ms.load_model(NAME, dtype="float16")
    assert "bfloat16" not in str(narrow.value)


def test_fewer_layers_need_less(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, needed / 2, 10 * needed)
    with pytest.raises(TooLittleMemoryError):
        ms.load_model(NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ms.load_model(NAME, first_n_layers=0).cfg.n_layers == 0


def test_what_may_fit_is_loaded_with_a_warning(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, 0.9 * needed, 10 * needed)
    with pytest.warns(UserWarning, match="may not fit into memory"):
        ms.load_model(NAME, process=False, first_n_layers=2)
    there_is(monkeypatch, 0.9 * needed, 10 * needed, swap=needed)
    ms.load_model(NAME, process=False)


def test_weights_that_may_stay_in_their_file_are_never_refused(
    needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_is(monkeypatch, needed / 100, needed / 50)
    with pytest.warns(UserWarning, match="may not fit into memory"):
        ms.load_model(NAME, process=False)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")],
)
@pytest.mark.parametrize("process", [True, False])
def test_memory_that_runs_out_after_all_is_one_sentence(
    error: Exception, process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(load, "process_parts", fails)
    monkeypatch.setattr(Checkpoint, "read", fails)
    with pytest.raises(
        TooLittleMemoryError, match=r"ran out while mini-gelu-2l was .* needs about [\d.]+ MB"
    ):
        ms.load_model(NAME, process=process)


def test_another_error_of_torch_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(load, "process_parts", fails)
    with pytest.raises(RuntimeError, match="something else"):
        ms.load_model(NAME)
