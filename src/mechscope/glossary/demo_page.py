"""The figure of a demo as a page that loads nothing."""

from __future__ import annotations

from pathlib import Path

from mechscope.glossary.demo import demo_source
from mechscope.glossary.entry import Entry
from mechscope.pages.figures import PageFigure, figure_html
from mechscope.pages.frame import render_page

TEMPLATE = Path(__file__).parent / "templates" / "demo.html"


def demo_page(entry: Entry, figure: PageFigure) -> str:
    """The page as one HTML document: the entry's line, the figure and its code."""
    return render_page(TEMPLATE, entry=entry, drawing=figure_html(figure), code=demo_source(entry))
