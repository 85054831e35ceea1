"""No public record prints its tensors: a vocabulary of 50,000 tokens must not fill the terminal."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import mechscope
from mechscope.arguments import brief_repr
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Baselines
from tests.techniques.every_technique import CALLS, small_model, small_task

INNER_ROOMS = ("labs", "recipes", "planted", "cli", "course", "SVDInterpreter")
"""Rooms whose records nobody gets from a call of the library."""


def public_records() -> Iterator[type]:
    """Every public dataclass of the library that has a field with tensors or arrays."""
    for module in pkgutil.walk_packages(mechscope.__path__, "mechscope."):
        path = module.name.split(".")
        if path[1] in INNER_ROOMS or any(part.startswith("_") for part in path):
            continue
        for record in vars(importlib.import_module(module.name)).values():
            own = isinstance(record, type) and record.__module__ == module.name
            if own and dataclasses.is_dataclass(record) and not record.__name__.startswith("_"):
                kinds = [str(field.type) for field in dataclasses.fields(record) if field.repr]
                # A function of tensors is no tensor.
                if any(
                    word in kind and "Callable" not in kind
                    for kind in kinds
                    for word in ("Tensor", "ndarray", "NDArray")
                ):
                    yield record


def is_generated(record: type) -> bool:
    """Whether the repr is the one that `dataclass` writes, which prints every value in full."""
    return inspect.unwrap(record.__repr__).__code__.co_filename == "<string>"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_public_records_with_tensors_have_a_repr_of_their_own() -> None:
    records = list(public_records())
    assert len(records) > 20 and Baselines in records
    assert [record.__qualname__ for record in records if is_generated(record)] == []


def test_a_generated_repr_is_noticed() -> None:
    @dataclasses.dataclass
    class Long:
        values: torch.Tensor

    assert is_generated(Long)


def test_a_brief_repr_is_short_for_a_large_vocabulary() -> None:
    logits = torch.zeros(64, 1, 50_257)

    @dataclasses.dataclass
    class Found:
        logits: torch.Tensor
        table: np.ndarray
        by_layer: dict[str, torch.Tensor]
        words: tuple[str, ...]
        __repr__ = brief_repr

    text = repr(Found(logits, np.zeros((3, 3)), {"0": logits}, ("a",) * 50_257))
    assert "logits=float32 [64 1 50257]" in text and "words=tuple of 50257" in text
    assert len(text) < 200


def test_baselines_and_answers_are_short_and_keep_no_vocabulary() -> None:
    model = small_model(d_vocab=50_257)
    task = small_task(model, examples=4)
    found = task.baselines(model)
    assert len(repr(found)) < 120 and len(repr(task.answers)) < 200
    assert "clean" in repr(found) and f"{float(found.clean.mean()):.4g}" in repr(found)
    assert all(
        value is None or value.numel() < 10
        for value in (getattr(found, field.name) for field in dataclasses.fields(found))
    )
    with pytest.raises(ValueError, match=r"task\.logits\(model, task\.corrupted\)"):
        _ = found.corrupted_logits


def test_a_metric_that_compares_with_the_clean_run_keeps_its_logits() -> None:
    model = small_model()
    task = small_task(model, examples=4).with_metric("kl_divergence")
    found = task.baselines(model)
    assert found.reference is not None
    assert torch.equal(found.reference, task.logits(model, task.clean).detach())
    with pytest.warns(DeprecationWarning, match=r"task\.logits"):
        assert found.clean_logits is found.reference


def records_in(found: Any) -> Iterator[Any]:
    """Every record in what a technique returned."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        for each in found:
            yield from records_in(each)
    elif dataclasses.is_dataclass(found) and not isinstance(found, Answers):
        yield found


@pytest.mark.parametrize("call", CALLS)
def test_what_a_technique_returns_is_short_to_print(call: str) -> None:
    model = small_model()
    found = CALLS[call](model, small_task(model))
    for record in records_in(found):
        text = repr(record)
        assert len(text) < 2_500, f"{type(record).__name__}: {len(text)} characters"
        assert "tensor(" not in text
