"""The table in the documents is the one that the library gives."""

from __future__ import annotations

from pathlib import Path

from mechscope import planted
from mechscope.planted.catalogue import page

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "planted.md"


def test_the_page_shows_the_table() -> None:
    assert page() in DOCUMENT.read_text(encoding="utf-8"), page()


def test_every_program_has_a_row_and_a_noise() -> None:
    assert list(planted.catalogue().index) == list(planted.PROGRAMS) == list(planted.STEADY_NOISE)
