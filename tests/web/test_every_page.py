"""Every page of the web lab in a real browser: no error, no request that leaves the machine, no barrier."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.pages.site import collect_site
from tests.browser import WatchedPage

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
SERIOUS = ("serious", "critical")
PAGES = list(collect_site().pages)
EXAMPLES = ("circuits/planted/sort/", "circuits/published/docstring/", "course/00/")
ALIKE = ("circuits/planted/", "circuits/published/", "course/")
OPENED = [
    route
    for route in PAGES
    if route.removesuffix("/").count("/") == 0 or not route.startswith(ALIKE) or route in EXAMPLES
]
"""Pages without those that differ from an example in their data only; test_circuits.py opens all circuits."""
DIFFERENT = [route for route in OPENED if not route.startswith("models/m") or route == "models/mini-gelu-2l/"]
"""Pages without those that differ from another one in the model only."""


@pytest.mark.parametrize("route", OPENED)
def test_it_opens(browser: Any, address: str, route: str) -> None:
    watched = WatchedPage(browser)
    watched.page.goto(address + route)
    watched.page.wait_for_selector("main:not(:has([aria-busy]))")
    watched.page.wait_for_load_state("networkidle")
    assert watched.problems == []
    assert all(url.startswith((address, "data:")) for url in watched.requests)
    watched.page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("route", DIFFERENT)
def test_it_has_no_barriers(browser: Any, address: str, route: str, theme: str) -> None:
    # The checker is injected into the page, which the page's own policy forbids.
    free = browser.new_context(bypass_csp=True, color_scheme=theme).new_page()
    free.goto(address + route)
    free.wait_for_selector("main:not(:has([aria-busy]))")
    free.wait_for_load_state("networkidle")  # live figures are checked too, not only what stands around them
    found = axe.Axe().run(free).response["violations"]
    assert [
        (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found if rule["impact"] in SERIOUS
    ] == []
    free.context.close()
