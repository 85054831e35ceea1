"""The browser and server of the web lab's tests."""

from tests.web.conftest import address, browser

__all__ = ["address", "browser"]
