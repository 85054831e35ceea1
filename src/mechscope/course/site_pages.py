"""The pages of the course in the web lab: a map of the units, and a page for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.course.endpoints import course_endpoints
from mechscope.course.exercise_text import exercise_text
from mechscope.course.figure_page import drawn
from mechscope.course.progress import Progress, state_of
from mechscope.course.reference_figures import reference_figure
from mechscope.course.session import CourseSession, last_exercise, next_exercise
from mechscope.course.template import solution
from mechscope.course.unit import Exercise, Unit, all_units
from mechscope.pages.figures import figure_html
from mechscope.pages.formatting import code_spans, first_capital
from mechscope.pages.markdown import lesson_html
from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
NEEDS_SERVER = (
    "These pages can be read anywhere. To have your answers checked on them, type “mechscope course start” and then "
    "“mechscope serve --open” in a terminal."
)
HOME = HomeEntry(
    "The course",
    "Learn by writing it: short lessons and functions with empty bodies. Save your file, and the page says whether it "
    "is right, and if not, what you did instead.",
    "course/",
)


@dataclass(frozen=True)
class LessonPart:
    """A stretch of a lesson, or an exercise in its place."""

    text: Markup | None = None
    """The text as HTML."""
    exercise: Exercise | None = None
    """The exercise."""


def site_pages() -> SiteRoom:
    """The map of units, and one page per unit."""
    units = all_units()
    pages = [
        SitePage(
            "course/",
            "The course",
            TEMPLATES / "course.html",
            _map,
            "Course",
            needs_server=NEEDS_SERVER,
            summary="Exercises that say what you did instead.",
        )
    ]
    for place, unit in enumerate(units):
        before = units[place - 1] if place else None
        after = units[place + 1] if place + 1 < len(units) else None
        pages.append(
            SitePage(
                route=unit_route(unit),
                title=f"Unit {unit.id}",
                template=TEMPLATES / "unit.html",
                content=partial(_unit, unit, before, after),
                scripts=("course_unit.js",),
                has_figures=reference_figure(unit) is not None,
                needs_server=NEEDS_SERVER,
                summary=unit.idea,
                links_terms=True,
            )
        )
    return SiteRoom(
        pages,
        modules=[HERE / "course_unit.js", HERE / "exercise_panel.js"],
        styles=[HERE / "course.css"],
        home=[HOME],
        endpoints=course_endpoints(),
    )


def unit_route(unit: Unit) -> str:
    """Where the page of a unit is.

    >>> unit_route(all_units()[0])
    'course/p/'
    """
    return f"course/{unit.id.lower()}/"


def lesson_parts(unit: Unit) -> list[LessonPart]:
    """A unit's lesson with its exercises in their places."""
    return [
        LessonPart(exercise=part)
        if isinstance(part, Exercise)
        else LessonPart(text=Markup(lesson_html(part, {})))
        for part in unit.lesson_parts
    ]


def _map(context: PageContext) -> Mapping[str, Any]:
    if not context.is_served:
        return {"units": all_units(), "route": unit_route, "done": None}
    progress = Progress()
    states = progress.states()
    return {
        "units": all_units(),
        "route": unit_route,
        "done": {
            unit.id: sum(state_of(states, exercise).is_done for exercise in unit.exercises)
            for unit in all_units()
        },
        "next": next_exercise(states, last_exercise(progress)),
        "begin": code_spans(_how_to_begin(progress)),
        "warning": progress.warning,
    }


def _how_to_begin(progress: Progress) -> str:
    try:
        CourseSession.find(progress=progress)
    except FileNotFoundError as missing:
        return first_capital(str(missing))
    return ""


@cache
def _fixed(unit: Unit) -> Mapping[str, Any]:
    """What does not depend on the learner."""
    shown = reference_figure(unit)
    return {
        "unit": unit,
        "parts": lesson_parts(unit),
        "texts": {exercise.name: exercise_text(exercise) for exercise in unit.exercises},
        "solutions": {exercise.name: solution(unit, exercise.name) for exercise in unit.exercises},
        "figure": shown,
        "drawing": None if shown is None else figure_html(drawn(shown)),
        "code": code_spans,
        "route": unit_route,
    }


def _unit(unit: Unit, before: Unit | None, after: Unit | None, context: PageContext) -> Mapping[str, Any]:
    return {**_fixed(unit), "before": before, "after": after}
