"""One page of the web lab as HTML, and the files that all pages share."""

from __future__ import annotations

from pathlib import Path

from mechscope.pages.frame import SITE_SCRIPTS, render_page
from mechscope.pages.site import PageContext, Site, SitePage
from mechscope.pages.terms import link_lessons

STATIC = Path(__file__).parent / "static"
SCRIPTS = frozenset({"boot.js", *SITE_SCRIPTS})
"""Ordinary scripts; the others are modules."""
FRAME_STYLES = Path(__file__).parent.parent / "pages" / "templates" / "styles.css"


def render_site_page(site: Site, page: SitePage, *, is_served: bool, runs: Path | None = None) -> str:
    """The page as one HTML document.

    Args:
        site: the site, whose menu the page shows.
        page: one of its pages.
        is_served: whether a server answers.
        runs: the folder of the learner's runs, for pages that show them.
    """
    context = PageContext(page.route, is_served, runs)
    frame = {"page": page, "context": context, "menu": site.menu, "home": site.home, "site": site}
    text = render_page(page.template, **frame, **page.content(context))
    return link_lessons(text, site.terms, context.to) if page.links_terms else text


def style_sheet(site: Site) -> str:
    """The one style sheet of the site."""
    sheets = [FRAME_STYLES, STATIC / "site.css", *site.styles]
    return "\n".join(path.read_text(encoding="utf-8") for path in sheets)


def static_files(site: Site) -> dict[str, Path]:
    """File name in the site's folder `static` → file, without the style sheet.

    Raises:
        ValueError: if a room's module has the name of one of the web lab's own.
    """
    own = {path.name: path for path in STATIC.glob("*.js")} | SITE_SCRIPTS
    if both := sorted(own.keys() & site.modules.keys()):
        raise ValueError(f"a room has a module {both[0]!r}, which is a name of the web lab itself.")
    return own | dict(site.modules)
