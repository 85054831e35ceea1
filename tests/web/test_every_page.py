"""Every page of the web lab in a real browser: no error, no request that leaves the machine, no barrier."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.pages.site import collect_site
from tests.browser import WatchedPage

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
SERIOUS = ("serious", "critical")
PAGES = list(collect_site().pages)
EXAMPLES = (
    "circuits/planted/sort/",
    "circuits/published/docstring/",
    "course/00/",
    "glossary/cherry-picking/",
    "problems/memory-after-grokking/",
)
ALIKE = ("circuits/planted/", "circuits/published/", "course/", "glossary/", "problems/")
OPENED = [
    route
    for route in PAGES
    if route.removesuffix("/").count("/") == 0 or not route.startswith(ALIKE) or route in EXAMPLES
]
"""Pages without those that differ from an example in their data only; test_circuits.py opens all circuits."""
DIFFERENT = [route for route in OPENED if not route.startswith("models/m") or route == "models/mini-gelu-2l/"]
"""Pages without those that differ from another one in the model only."""


@pytest.mark.parametrize(
    "route",
    [pytest.param(route, marks=() if route in DIFFERENT else pytest.mark.slow) for route in OPENED],
)
def test_it_opens_and_has_no_barriers(browser: Any, address: str, route: str) -> None:
    watched = WatchedPage(browser, color_scheme="light")
    page = watched.page
    page.goto(address + route)
    page.wait_for_selector("main:not(:has([aria-busy]))")
    page.wait_for_load_state("networkidle")  # live figures are checked too, not only what stands around them
    assert watched.problems == []
    assert all(url.startswith((address, "data:")) for url in watched.requests)
    if route in DIFFERENT:
        page.evaluate(axe.Axe().axe_script)
        assert serious_barriers(page) == []
        page.emulate_media(color_scheme="dark")
        # Nothing but colours changes with the theme.
        assert serious_barriers(page, "color-contrast") == []
    # A telephone: what is wider than the page scrolls inside it.
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    page.close()


def serious_barriers(page: Any, *rules: str) -> list[tuple[str, list[str]]]:
    """Rules of accessibility that the page breaks, with the elements that break them; without rules, all of them.

    The colours and labels of Plotly's charts, which have thousands of elements, are tested in tests/viz.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    found = page.evaluate("options => axe.run({exclude: ['.js-plotly-plot']}, options)", options)[
        "violations"
    ]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found if rule["impact"] in SERIOUS
    ]
