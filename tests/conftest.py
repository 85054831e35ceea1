"""What all tests share: small models, the data folder, one torch thread per worker unless the user asks for more."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.shape_checks import install_shape_checks

# A deadline would be a timed assertion, and machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

install_shape_checks()

torch.set_num_threads(int(os.environ.get("MECHSCOPE_TEST_THREADS", "1")))

# Nothing in the tests may reach a network; the peers would try.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The modules and tests that are loaded by now stay until the end: the garbage collector need not visit them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nobodys_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Places of their own for progress in the course and for stores of the neuroscope: no test may read or change those
    of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path_factory.mktemp("course") / "progress.sqlite"))
        patch.setenv("MECHSCOPE_NEUROSCOPE", str(tmp_path_factory.mktemp("neuroscope")))
        yield


@pytest.fixture
def in_float64() -> Iterator[None]:
    """What a test draws is float64.

    For comparing two ways of training: Adam divides a gradient by its size, and so enlarges the rounding of small ones.
    """
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data that MECHSCOPE_DATA names; the test is skipped where there is none."""
    folder = os.environ.get("MECHSCOPE_DATA")
    if not folder:
        pytest.skip("MECHSCOPE_DATA is not set: this test reads real data from that folder")
    return Path(folder)
