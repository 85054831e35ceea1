"""What tests of harvests share."""

from __future__ import annotations

import pytest

from tests.neuroscope.small_harvest import whole_bytes


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The state of the small harvest, made without a driver."""
    return whole_bytes(tmp_path_factory.mktemp("whole"))
