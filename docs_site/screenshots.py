"""Pictures of the web lab for the docs.

    python -m docs_site.screenshots docs        # docs/web-*.png

Needs Chromium and `pip install 'mechscope[browser]'`. The pages are those of the static site, opened from a folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.web.static_site import build_site

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST_BYTES = 150_000
READY = "main:not(:has([aria-busy]))"


@dataclass(frozen=True)
class Picture:
    """One page, or a part of it."""

    name: str
    """The picture is web-NAME.png."""
    route: str
    """The page."""
    part: str = "body"
    """CSS selector of what to begin at."""
    height: int = 800
    """Pixels."""
    theme: str = "light"
    """light or dark."""
    waits_for: Sequence[str] = ()
    """What must be there before the picture is taken, besides the page itself."""


PICTURES = (
    Picture("home", ""),
    Picture("step", "steps/04-ioi/", "#figure-stream", 620, waits_for=["#figure-stream .main-svg"]),
    Picture("live", "steps/01-superposition/", "section.live", 620),
    Picture("step-02", "steps/02-grokking/", "section.live", 900, waits_for=["section.live svg"]),
    Picture(
        "circuit", "circuits/planted/ioi/", "[data-part=graph]", 900, waits_for=["[data-part=graph] svg"]
    ),
    Picture("course", "course/01/", ".step", 900),
    Picture(
        "neuroscope",
        "neuroscope/unit/",
        "[data-part=top] li:nth-child(6)",
        960,
        waits_for=["[data-part=effect] table"],
    ),
    Picture("neuroscope-labels", "neuroscope/labels/", "h1", 900, waits_for=[".labels-table"]),
    Picture("microscope", "models/ioi-twin/", "main", 900, "dark"),
)


def take(folder: Path, pictures: Sequence[Picture] = PICTURES) -> list[Path]:
    """Write the pictures into a folder.

    Raises:
        FileNotFoundError: if no Chromium is installed.
        ValueError: for a picture that is too large for the repository.
    """
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise FileNotFoundError(f"no browser was found; one of these is needed: {', '.join(BROWSERS)}.")
    written: list[Path] = []
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        site = Path(temporary) / "site"
        build_site(site)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for picture in pictures:
            path = folder / f"web-{picture.name}.png"
            path.write_bytes(_picture(browser, site, picture))
            written.append(path)
        browser.close()
    for path in written:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(
                f"{path} has {path.stat().st_size:,} bytes: make it smaller (at most {MOST_BYTES:,})."
            )
    return written


def _picture(browser: Any, site: Path, picture: Picture) -> bytes:
    page = browser.new_page(viewport={"width": 920, "height": picture.height}, color_scheme=picture.theme)
    page.goto((site / picture.route / "index.html").as_uri())
    page.wait_for_selector(READY, timeout=120_000)
    page.eval_on_selector(
        picture.part, "(part) => scrollTo(0, part.getBoundingClientRect().top + scrollY - 16)"
    )
    for selector in picture.waits_for:
        page.wait_for_selector(selector, timeout=120_000)
    page.wait_for_timeout(1500)  # live figures are to have moved
    taken = page.screenshot()
    page.close()
    return taken


if __name__ == "__main__":
    for path in take(Path(sys.argv[1])):
        print(f"{path.stat().st_size:>8,} bytes  {path}")
