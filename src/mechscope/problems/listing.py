"""The catalogue: all problems in order, one by name, those that a filter selects, and search."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from mechscope.full_text import FullText
from mechscope.near_names import near_names
from mechscope.problems.problem import AREAS, CATALOGUE, RATINGS, Problem, read_problem

TIMES = {
    "weekend": ("A",),
    "two-weeks": ("A", "B"),
    "months": ("A", "B", "C"),
}
"""How much time somebody has → the ratings that fit. Nobody knows how long a D takes."""


@cache
def all_problems() -> Mapping[str, Problem]:
    """Slug → problem, in the order of the areas, and within each by rating and title.

    Raises:
        ValueError: for a mistake in a file; names the file, the key and what was expected.
    """
    problems: dict[str, Problem] = {}
    folders = [path for path in sorted(CATALOGUE.glob("*/*")) if path.is_dir() and path.name[0] not in "._"]
    read = [read_problem(folder) for folder in folders]
    order = list(AREAS)
    for problem in sorted(read, key=lambda each: (order.index(each.area), each.rating, each.title.lower())):
        if problem.slug in problems:
            raise ValueError(
                f"two problems are called {problem.slug}: in {problems[problem.slug].area} and in {problem.area}."
            )
        problems[problem.slug] = problem
    return problems


def find_problem(name: str) -> Problem:
    """The problem with an id or a title, whatever its case, and with spaces, hyphens or underscores.

    >>> find_problem("Memory after grokking").slug
    'memory-after-grokking'

    Raises:
        KeyError: for an unknown name; suggests similar ones.
    """
    problems = all_problems()
    slug = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    if slug in problems:
        return problems[slug]
    for problem in problems.values():
        if problem.title.lower() == name.strip().lower():
            return problem
    near = near_names(slug, problems) or _index().find(name, limit=3)
    question = f" Did you mean {' or '.join(near)}?" if near else ""
    raise KeyError(f"there is no problem {name!r}.{question} `mechscope problems` lists all of them.")


def search(query: str) -> list[Problem]:
    """The problems that have every word of a query, the best first. Inflections count as the same word."""
    return [all_problems()[slug] for slug in _index().find(query, limit=len(all_problems()))]


def select(
    *, rating: str = "", area: str = "", time: str = "", status: str = "", compute: str = "", words: str = ""
) -> list[Problem]:
    """The problems that fulfil every condition that is given; a condition is left out if it is empty.

    Args:
        rating: a key of `RATINGS`.
        area: a key of `AREAS`.
        time: a key of `TIMES`.
        status: a key of `STATUSES`.
        compute: a key of `COMPUTE`.
        words: words that the text must have; the best match comes first.

    >>> {problem.area for problem in select(rating="A", words="mirror images")}
    {'training'}
    """
    found = search(words) if words else list(all_problems().values())
    return [
        problem
        for problem in found
        if (not rating or problem.rating == rating)
        and (not area or problem.area == area)
        and (not time or problem.rating in TIMES[time])
        and (not status or problem.status == status)
        and (not compute or problem.compute == compute)
    ]


def counts() -> Mapping[str, Mapping[str, int]]:
    """Area → rating → how many problems there are."""
    table = {area: dict.fromkeys(RATINGS, 0) for area in AREAS}
    for problem in all_problems().values():
        table[problem.area][problem.rating] += 1
    return table


def followers(slug: str) -> list[Problem]:
    """The problems that want another one to be worked on first."""
    return [problem for problem in all_problems().values() if slug in problem.after]


@cache
def _index() -> FullText:
    # Words in the title count more than those in the text.
    return FullText(
        {
            problem.slug: (
                f"{problem.title} {problem.slug}",
                f"{AREAS[problem.area]} {' '.join(problem.models)} {' '.join(problem.glossary)}",
                problem.text,
                " ".join(problem.sources),
            )
            for problem in all_problems().values()
        },
        weights=(10, 4, 2, 1),
    )
