"""One page of the web lab as HTML: the content that its room renders, inside the frame that all pages share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mechscope.pages.site import PageContext, Site, SitePage

HERE = Path(__file__).parent
STATIC = HERE / "static"
FRAME_STYLES = HERE.parent / "pages" / "templates" / "styles.css"


def render_site_page(site: Site, page: SitePage, *, is_served: bool) -> str:
    """The page as one HTML document.

    Args:
        site: the site, whose menu the page shows.
        page: one of its pages.
        is_served: whether a server answers.
    """
    context = PageContext(page.route, is_served)
    return _frame().render(page=page, context=context, menu=site.menu, content=page.render(context))


def style_sheet(site: Site) -> str:
    """The one style sheet of the site."""
    sheets = [FRAME_STYLES, STATIC / "site.css", *site.styles]
    return "\n".join(path.read_text(encoding="utf-8") for path in sheets)


def static_files(site: Site) -> dict[str, Path]:
    """File name in the site's folder `static` → file, without the style sheet."""
    own = {path.name: path for path in STATIC.glob("*.js")}
    if both := sorted(own.keys() & site.modules.keys()):
        raise ValueError(f"a room has a module {both[0]!r}, which is a name of the web lab itself.")
    return own | dict(site.modules)


@cache
def _frame() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("site_frame.html")
