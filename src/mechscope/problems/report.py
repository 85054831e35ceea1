"""Notes, figures and numbers of started problems as one page that loads nothing, to be sent to somebody."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from mechscope.pages.figures import figure_html
from mechscope.pages.formatting import day_in_words, number
from mechscope.pages.frame import render_page
from mechscope.pages.markdown import lesson_html
from mechscope.problems.listing import all_problems
from mechscope.problems.measurement import FILE
from mechscope.problems.notes import NOTES
from mechscope.problems.problem import AREAS, RATINGS
from mechscope.problems.started import Started
from mechscope.problems.starter import shipped_measurement
from mechscope.reading import naming

TEMPLATE = Path(__file__).parent / "templates" / "report.html"


@dataclass(frozen=True)
class _Section:
    """One problem on the page."""

    started: Started
    area: str
    rating: str
    question: Markup
    figure: Markup
    rows: Sequence[tuple[str, str, str]]
    parts: Mapping[str, Markup]


def report_page(started: Sequence[Started], today: datetime.date | None = None) -> str:
    """The page as one HTML document.

    Args:
        started: what it is about, in this order.
        today: the date on the page; None means today.

    Raises:
        ValueError: for a formula in the notes that cannot be read, or a figure that a page does not draw.
    """
    sections = [_section(each, place) for place, each in enumerate(started, 1)]
    shows_shipped = any(shipped for section in sections for *_, shipped in section.rows)
    return render_page(
        TEMPLATE,
        sections=sections,
        day=day_in_words(today or datetime.date.today()),
        shows_shipped=shows_shipped,
    )


def _section(started: Started, place: int) -> _Section:
    problem = started.problem
    with naming(started.folder / FILE):
        figure = replace(started.measurement.figure, name=f"plot-{place}")
    with naming(started.folder / NOTES):
        parts = {heading: Markup(lesson_html(text, {})) for heading, text in started.notes.parts.items()}
    with naming(started.folder / "problem.md"):
        question = Markup(lesson_html(problem.parts["The question"], {}))
    known = all_problems().get(problem.slug)
    shipped = shipped_measurement(known) if known else None
    shipped_values = shipped.baseline if shipped else {}
    rows = [
        (words, number(value), number(shipped_values[words]) if words in shipped_values else "")
        for words, value in started.measurement.baseline.items()
    ]
    return _Section(
        started=started,
        area=AREAS[problem.area],
        rating=f"{problem.rating} ({RATINGS[problem.rating]})",
        question=question,
        figure=figure_html(figure),
        rows=rows,
        parts=parts,
    )
