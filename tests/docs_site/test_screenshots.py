"""The pictures of the web lab that the docs show."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_site.screenshots import Picture, take

from docs_site import screenshots

pytest.importorskip("playwright", reason="needs a browser: pip install 'mechscope[browser]'")


@pytest.mark.slow
def test_pictures_are_taken_and_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Picture(
        "figure", "steps/00-mnist-templates/", "#figure-match", 500, waits_for=["#figure-match .main-svg"]
    )
    pictures = [Picture("home", "", height=300, theme="dark"), figure]
    written = take(tmp_path, pictures)
    assert [path.name for path in written] == ["web-home.png", "web-figure.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    monkeypatch.setattr(screenshots, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000"):
        take(tmp_path, pictures[:1])


def test_a_missing_browser_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screenshots, "BROWSERS", ("no-such-browser",))
    with pytest.raises(FileNotFoundError, match="one of these is needed: no-such-browser"):
        take(tmp_path)
