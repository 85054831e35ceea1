"""report.html: one self-contained page with the lesson, its figures, the verdicts, and what ran on what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.labs.lab import LabRun
from mechscope.labs.navigation import INDEX, neighbours
from mechscope.labs.page_parts import page_parts
from mechscope.labs.run_page import FILE, page_content, parse_page, write_page
from mechscope.pages.formatting import code_spans, duration
from mechscope.pages.frame import render_page
from mechscope.pages.site import known_terms
from mechscope.pages.terms import link_lessons
from mechscope.storage.files import write_atomically

LIVE = Markup(
    '<p class="missing">In the web lab there is a figure here that you can change: run <code>mechscope serve</code> '
    "and open step {}.</p>"
)


def write_report(run: LabRun) -> Path:
    """Write the run's page.json and report.html, and return the latter's path."""
    content = page_content(run)
    write_page(content, run.folder)
    return write_atomically(run.report, _render(run, content))


def render_report(run: LabRun) -> str:
    """The report as one HTML document: styles, scripts, Plotly and all figures inside; it fetches nothing.

    Raises:
        KeyError: if the lesson asks for a figure or a value that the run did not produce.
        ValueError: as `fill_lesson`.
    """
    return _render(run, page_content(run))


def _render(run: LabRun, content: Mapping[str, Any]) -> str:
    page = parse_page(content, run.folder / FILE)
    links = {figure.name: figure.numbers_link for figure in run.outcome.figures}
    text = render_page(
        Path(__file__).with_suffix(".html"),
        page=page,
        run=page.claims,
        facts=page.facts,
        code=code_spans,
        time=duration(run.seconds),
        index=INDEX,
        neighbours=neighbours(run),
        **page_parts(page, live=LIVE.format(page.step), numbers=links),
    )
    return link_lessons(text, known_terms(), None)
