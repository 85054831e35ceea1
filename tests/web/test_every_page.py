"""Every page of the web lab in a real browser: no error, no request that leaves the machine, no barrier."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.pages.site import collect_site
from tests.browser import WatchedPage

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
SERIOUS = ("serious", "critical")
PAGES = list(collect_site().pages)
EXAMPLES = ("circuits/planted/sort/", "circuits/published/docstring/")
CIRCUITS = ("circuits/planted/", "circuits/published/")
OPENED = [route for route in PAGES if not route.startswith(CIRCUITS) or route in EXAMPLES]
"""Pages without the circuits that differ from an example in their data only; test_circuits.py opens those."""
DIFFERENT = [route for route in OPENED if not route.startswith("models/m") or route == "models/mini-gelu-2l/"]
"""Pages without those that differ from another one in the model only."""


@pytest.mark.parametrize("route", OPENED)
def test_it_opens(browser: Any, address: str, route: str) -> None:
    watched = WatchedPage(browser)
    watched.page.goto(address + route)
    watched.page.wait_for_selector("main:not(:has([aria-busy]))")
    watched.page.wait_for_load_state("networkidle")
    # A telephone: what is wider than the page scrolls inside it.
    watched.page.set_viewport_size({"width": 360, "height": 740})
    watched.page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
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
