"""The template of a page for tests."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parent / "empty_page.html"
