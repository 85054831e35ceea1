"""One browser and one server for each file of tests of the web lab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import open_browser, served_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the web lab is served, on a machine that has run nothing."""
    with served_site(runs=tmp_path_factory.mktemp("runs")) as found:
        yield found
