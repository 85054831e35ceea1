"""Tiny models that many tests share, each built and saved once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import logging as transformers_logging

from tests.checkpoints.tiny_models import TINY, saved


@pytest.fixture(scope="session", autouse=True)
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no notes about token ids past our tiny vocabularies."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.set_verbosity(before)
    transformers_logging.enable_progress_bar()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """From a variant's name to transformers' model and the folder it was saved to."""

    @functools.cache
    def make(name: str) -> tuple[Any, Path]:
        return saved(TINY[name], tmp_path_factory.mktemp(name))

    return make
