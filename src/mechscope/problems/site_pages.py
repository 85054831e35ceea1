"""The pages of the open problems in the web lab: a list with filters, and a page per problem."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.course.site_pages import unit_route
from mechscope.course.unit import all_units, find_unit
from mechscope.glossary.entry import all_entries
from mechscope.glossary.site_pages import entry_route
from mechscope.pages.figures import figure_html
from mechscope.pages.formatting import day_in_words, number
from mechscope.pages.markdown import lesson_html
from mechscope.pages.site import Backlink, HomeEntry, PageContext, SitePage, SiteRoom
from mechscope.problems.listing import all_problems, followers
from mechscope.problems.measurement import Measurement
from mechscope.problems.problem import AREAS, COMPUTE, RATINGS, STATUSES, Problem
from mechscope.problems.starter import shipped_measurement, starter_source

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
ROUTE = "problems/"
KIND = "Open problems"
HOME = HomeEntry(
    "Open problems",
    "A question of your own for this weekend, or for longer: what is known, what would prove you wrong, and a script "
    "that measures the number to beat.",
    ROUTE,
)


def site_pages() -> SiteRoom:
    """The list of problems, and one page per problem; entries and units link to the problems that name them."""
    problems = list(all_problems().values())
    pages = [
        SitePage(
            ROUTE,
            "Open problems",
            TEMPLATES / "problems.html",
            _list,
            "Problems",
            scripts=("problems_page.js",),
            summary="Questions to work on, each with a script that measures where you start.",
        )
    ]
    for place, problem in enumerate(problems):
        before = problems[place - 1] if place else None
        after = problems[place + 1] if place + 1 < len(problems) else None
        pages.append(
            SitePage(
                problem_route(problem),
                problem.title,
                TEMPLATES / "problem.html",
                partial(_problem, problem, before, after),
                has_figures=_shipped(problem) is not None,
                summary=f"{AREAS[problem.area]}, rated {problem.rating}.",
                links_terms=True,
            )
        )
    return SiteRoom(
        pages,
        modules=[HERE / "problems_page.js"],
        styles=[HERE / "problems.css"],
        home=[HOME],
        backlinks=[link for problem in problems for link in _backlinks(problem)],
    )


def problem_route(problem: Problem) -> str:
    """Where the page of a problem is: "problems/SLUG/"."""
    return f"{ROUTE}{problem.slug}/"


def _backlinks(problem: Problem) -> list[Backlink]:
    """Links to a problem on the pages of its unit and of the entries that explain its terms."""
    entries = all_entries()
    routes = [entry_route(entries[slug]) for slug in problem.glossary if slug in entries]
    routes += [unit_route(unit) for unit in all_units() if unit.id == problem.unit]
    return [Backlink(route, problem_route(problem), problem.title, KIND) for route in routes]


def _list(context: PageContext) -> Mapping[str, Any]:
    problems = all_problems().values()
    return {
        "areas": AREAS,
        "ratings": RATINGS,
        "ratings_in_words": {rating: f"{rating}: {words}" for rating, words in RATINGS.items()},
        "statuses": STATUSES,
        "compute": COMPUTE,
        "problems": {
            area: found
            for area in AREAS
            if (found := [problem for problem in problems if problem.area == area])
        },
        "words": _words,
        "number": len(problems),
    }


def _words(problem: Problem) -> str:
    """What the list's search box looks through besides what the list shows."""
    entries = all_entries()
    terms = [entries[slug].term for slug in problem.glossary if slug in entries]
    return " ".join([problem.slug, *problem.models, *terms, *problem.parts["The question"].split()])


@cache
def _shipped(problem: Problem) -> Measurement | None:
    return shipped_measurement(problem)


@cache
def _fixed(problem: Problem) -> Mapping[str, Any]:
    shipped = _shipped(problem)
    problems, entries = all_problems(), all_entries()
    return {
        "problem": problem,
        "area": AREAS[problem.area],
        "rating": RATINGS[problem.rating],
        "status": STATUSES[problem.status],
        "compute": COMPUTE[problem.compute],
        "reviewed": day_in_words(problem.reviewed),
        "parts": {heading: Markup(lesson_html(text, {})) for heading, text in problem.parts.items()},
        "baseline": {} if shipped is None else {name: number(x) for name, x in shipped.baseline.items()},
        "figure": None if shipped is None else figure_html(shipped.figure),
        "code": starter_source(problem),
        "unit": (unit := find_unit(problem.unit)),
        "unit_route": unit_route(unit),
        "entries": [(entries[slug], entry_route(entries[slug])) for slug in problem.glossary],
        "first": [problems[slug] for slug in problem.after],
        "followers": followers(problem.slug),
        "model_routes": {name: _model_route(name) for name in problem.models},
    }


def _model_route(name: str) -> str:
    """Where the page of a model would be; not every model has one."""
    return f"circuits/{name}/" if name.startswith("planted/") else f"models/{name}/"


def _problem(
    problem: Problem, before: Problem | None, after: Problem | None, context: PageContext
) -> Mapping[str, Any]:
    return {**_fixed(problem), "before": before, "after": after}
