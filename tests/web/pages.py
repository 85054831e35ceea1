"""Pages for tests."""

from __future__ import annotations

from pathlib import Path

from mechscope.labs.step_job import STEP_JOB
from mechscope.pages.site import Site, SitePage, SiteRoom, collect_site

PAGE = Path(__file__).parent / "empty_page.html"
"""The template of an empty page."""
PANEL_STEPS = ("induction", "sae")


def site_of_panels() -> Site:
    """A small site: for two steps a page with nothing but the panel that runs the experiment."""
    template = Path(__file__).parent / "panel_page.html"
    pages = [
        SitePage(
            f"{step}/", step, template, lambda context, step=step: {"step": step}, step, ("job_panel.js",)
        )
        for step in PANEL_STEPS
    ]
    return collect_site([SiteRoom([SitePage("", "Home", PAGE), *pages], jobs=[STEP_JOB])])
