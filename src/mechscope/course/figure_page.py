"""The final figure of a unit as a page that loads nothing."""

from __future__ import annotations

from pathlib import Path

from mechscope.course.result import FigureResult
from mechscope.course.unit import Unit
from mechscope.pages.figures import DrawnFigure, figure_html
from mechscope.pages.frame import render_page

TEMPLATE = Path(__file__).parent / "templates" / "figure.html"


def figure_page(unit: Unit, result: FigureResult) -> str:
    """The page as one HTML document."""
    return render_page(
        TEMPLATE,
        unit=unit,
        result=result,
        drawing=figure_html(drawn(result)),
    )


def drawn(result: FigureResult) -> DrawnFigure:
    """The figure that was drawn, as pages take it."""
    return DrawnFigure(f"unit-{result.unit.lower()}", result.title, result.caption, result.plot)
