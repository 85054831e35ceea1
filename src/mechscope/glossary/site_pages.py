"""The pages of the glossary in the web lab: all terms on one page with a search box, and a page per entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.course.site_pages import unit_route
from mechscope.course.unit import find_exercises, find_unit
from mechscope.glossary.demo import demo_source, has_demo
from mechscope.glossary.draw import shipped_figure
from mechscope.glossary.entry import INTRODUCTIONS, SECTIONS, Entry, all_entries, entries_of
from mechscope.glossary.live import LIVE
from mechscope.glossary.paths import reading_order, reading_path
from mechscope.glossary.site_terms import ROUTE, entry_route, site_terms
from mechscope.labs.registry import find_entry as find_step
from mechscope.pages.figures import DrawnFigure, figure_html
from mechscope.pages.markdown import lesson_html
from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
HOME = HomeEntry(
    "The glossary",
    "A term that you met in a paper: the idea, the trap, what to read first, and often a figure with the few lines of "
    "code that draw it.",
    ROUTE,
)
_LINK = re.compile(r'<a href="([a-z0-9-]+)">')


def site_pages() -> SiteRoom:
    """The list of terms, one page per section and one per entry."""
    entries = list(all_entries().values())
    pages = [
        SitePage(
            ROUTE,
            "The glossary",
            TEMPLATES / "glossary.html",
            _list,
            "Glossary",
            scripts=("glossary_page.js",),
            summary="The terms of the field, with the idea, the trap and a demo.",
        )
    ]
    pages += [
        SitePage(
            section_route(section),
            title,
            TEMPLATES / "section.html",
            partial(_section, section),
            summary=INTRODUCTIONS[section],
        )
        for section, title in SECTIONS.items()
    ]
    for place, entry in enumerate(entries):
        before = entries[place - 1] if place else None
        after = entries[place + 1] if place + 1 < len(entries) else None
        pages.append(
            SitePage(
                entry_route(entry),
                entry.term,
                TEMPLATES / "entry.html",
                partial(_entry, entry, before, after),
                scripts=("glossary_live.js",) if entry.slug in LIVE else (),
                has_figures=_drawn(entry) is not None,
                summary=entry.line,
            )
        )
    return SiteRoom(
        pages,
        modules=[HERE / "glossary_page.js", HERE / "glossary_live.js"],
        styles=[HERE / "glossary.css"],
        home=[HOME],
        terms=site_terms(),
    )


def section_route(section: str) -> str:
    """Where the page of a section is.

    >>> section_route("maths")
    'glossary/section/maths/'
    """
    return f"{ROUTE}section/{section}/"


def entry_html(text: str, root: str = "../") -> Markup:
    """The text of an entry, with links to the pages of other entries.

    Args:
        text: Markdown.
        root: how a page that shows it reaches the page of the glossary.
    """
    return Markup(_LINK.sub(rf'<a href="{root}\1/index.html">', lesson_html(text, {})))


def _list(context: PageContext) -> Mapping[str, Any]:
    return {
        "sections": {section: entries_of(section) for section in SECTIONS if entries_of(section)},
        "titles": SECTIONS,
        "introductions": INTRODUCTIONS,
        "demos": {entry.slug for entry in all_entries().values() if has_demo(entry)},
    }


def _section(section: str, context: PageContext) -> Mapping[str, Any]:
    return {**_chapter(section), "titles": SECTIONS}


@cache
def _chapter(section: str) -> Mapping[str, Any]:
    entries = reading_order(entries_of(section))
    sections = list(SECTIONS)
    place = sections.index(section)
    return {
        "title": SECTIONS[section],
        "introduction": INTRODUCTIONS[section],
        "entries": [(entry, entry_html(entry.parts["The intuition"], "../../")) for entry in entries],
        "demos": {entry.slug for entry in entries if has_demo(entry)},
        "before": sections[place - 1] if place else None,
        "after": sections[place + 1] if place + 1 < len(sections) else None,
    }


@cache
def _drawn(entry: Entry) -> DrawnFigure | None:
    return shipped_figure(entry)


@cache
def _fixed(entry: Entry) -> Mapping[str, Any]:
    shown = _drawn(entry)
    entries = all_entries()
    exercises = [exercise for name in entry.exercises for exercise in find_exercises(name)]
    live = LIVE.get(entry.slug)
    return {
        "entry": entry,
        "live": live,
        "live_task": None if live is None else Markup(lesson_html(live.task, {})),
        "section": SECTIONS[entry.section],
        "text": entry_html(entry.text),
        "code": demo_source(entry) if has_demo(entry) else "",
        "figure": None if shown is None else figure_html(shown),
        "path": reading_path(entry)[:-1],
        "related": [entries[slug] for slug in entry.see],
        "mentioned_by": [
            entries[slug] for slug in _mentioned_by().get(entry.slug, ()) if slug not in entry.see
        ],
        "exercises": [(exercise, unit_route(find_unit(exercise.unit))) for exercise in exercises],
        "steps": [find_step(step) for step in entry.labs],
    }


def _entry(
    entry: Entry, before: Entry | None, after: Entry | None, context: PageContext
) -> Mapping[str, Any]:
    return {**_fixed(entry), "before": before, "after": after}


@cache
def _mentioned_by() -> Mapping[str, list[str]]:
    """Slug → slugs of the entries that link to it."""
    found: dict[str, list[str]] = {}
    for entry in all_entries().values():
        for slug in entry.links:
            found.setdefault(slug, []).append(entry.slug)
    return found
