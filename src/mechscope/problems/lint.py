"""What is wrong with the problems, for their authors: `python -m mechscope.problems.lint`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from rich.console import Console

from mechscope.checkpoints.listing import list_models
from mechscope.course.unit import all_units
from mechscope.dictionaries.bundled_folders import bundled_dictionary_names
from mechscope.glossary.entry import all_entries
from mechscope.glossary.lint import unexplained
from mechscope.glossary.lint import words_of as words_of_entry
from mechscope.near_names import did_you_mean
from mechscope.pages.markdown import lesson_html
from mechscope.pages.python_source import parse_python
from mechscope.pages.repeated_prose import repetitions
from mechscope.planted.library import PROGRAMS
from mechscope.problems.listing import all_problems
from mechscope.problems.problem import Problem
from mechscope.problems.starter import FUNCTION, shipped_measurement, starter_source

FEWEST_WORDS, MOST_WORDS = 150, 350
FEWEST_LINES, MOST_LINES = 20, 80
STEPS = range(3, 6)
NOTHING_PUBLISHED = re.compile(
    r"\bno published\b|\bnothing published\b|\bnobody has published\b", re.IGNORECASE
)
_YEAR = r"(?:19|20)\d\d[a-z]?"
_BRACKET = re.compile(r"\(([^()]*)\)")
_IN_BRACKETS = re.compile(rf"\s*((?:[A-Z]|de |van |von )[^\d;]*?),?\s+({_YEAR})(?:,.*)?\s*")
_IN_TEXT = re.compile(rf"((?:[A-Z][\w’'-]+(?: et al\.)?(?:, | and )?)+) \(({_YEAR})\)")
_BY_HAND = re.compile(r"\d+\.\d+|\d\s?%")
_STEP = re.compile(r"^\d+\. ", re.MULTILINE)


def mistakes(problems: Mapping[str, Problem] | None = None) -> list[str]:
    """One sentence for each mistake that only shows when all problems are read.

    Args:
        problems: slug → problem; None means the catalogue.
    """
    problems = all_problems() if problems is None else problems
    found = [mistake for problem in problems.values() for mistake in _mistakes_of(problem, problems)]
    titles = [problem.title.lower() for problem in problems.values()]
    found += [
        f"{problem.slug}: another problem has the same title."
        for problem in problems.values()
        if titles.count(problem.title.lower()) > 1
    ]
    found += unexplained({problem.slug: f"{problem.title} {problem.text}" for problem in problems.values()})
    words = {f"the entry {entry.slug}": words_of_entry(entry) for entry in all_entries().values()}
    words |= {problem.slug: words_of(problem) for problem in problems.values()}
    return found + [
        f"{name} repeats {other}: “… {run} …”" for name, other, run in repetitions(words) if name in problems
    ]


def starter_mistakes(problem: Problem) -> Iterator[str]:
    """What is wrong with a starter, without running it."""
    if not problem.starter.is_file():
        yield f"{problem.slug} has no starter.py."
        return
    source = starter_source(problem)
    lines = len(source.splitlines())
    if not FEWEST_LINES <= lines <= MOST_LINES:
        yield f"{problem.slug}: starter.py has {lines} lines; expected {FEWEST_LINES} to {MOST_LINES}."
    tree = parse_python(source, str(problem.starter))
    if not ast.get_docstring(tree):
        yield f"{problem.slug}: starter.py begins with a sentence that says what it measures."
    if not any(isinstance(node, ast.FunctionDef) and node.name == FUNCTION for node in tree.body):
        yield f"{problem.slug}: starter.py has no function {FUNCTION}(seed)."
    if f"run_starter({FUNCTION})" not in source:
        yield f"{problem.slug}: starter.py does not end with run_starter({FUNCTION}), so that running it does nothing."
    if shipped_measurement(problem) is None:
        yield (
            f"{problem.slug}: the shipped baseline is missing or older than the starter; run "
            "python -m mechscope.problems.draw"
        )


def words_of(problem: Problem) -> list[str]:
    """The words of a problem's text without its headings."""
    return re.sub(r"^##.*$", "", problem.text, flags=re.MULTILINE).split()


def citations(text: str) -> set[tuple[str, str]]:
    """Who is cited with which year: "(Wang et al. 2023; Elhage et al., 2021)", "Wang et al. (2023)".

    >>> sorted(citations("It is known (Wang et al. 2023). Nanda and Lieberum (2022) differ (in part)."))
    [('Nanda and Lieberum', '2022'), ('Wang et al.', '2023')]
    """
    text = " ".join(text.split())
    found = {(names, year) for names, year in _IN_TEXT.findall(text)}
    for bracket in _BRACKET.findall(text):
        for piece in bracket.split(";"):
            if match := _IN_BRACKETS.fullmatch(piece):
                found.add((match[1], match[2]))
    return found


def _mistakes_of(problem: Problem, problems: Mapping[str, Problem]) -> Iterator[str]:
    slug = problem.slug
    if not problem.title.endswith("?"):
        yield f"{slug}: the title is no question: {problem.title}"
    count = len(words_of(problem))
    if not FEWEST_WORDS <= count <= MOST_WORDS:
        yield f"{slug} has {count} words; expected {FEWEST_WORDS} to {MOST_WORDS}."
    parts = problem.parts
    if empty := [heading for heading, part in parts.items() if not part]:
        yield f"{slug}: nothing stands below “{empty[0]}”."
    if (steps := len(_STEP.findall(parts["First steps"]))) not in STEPS:
        yield f"{slug}: “First steps” has {steps} numbered steps; expected {STEPS[0]} to {STEPS[-1]}."
    if typed := _BY_HAND.search(parts["The baseline"]):
        yield f"{slug}: “The baseline” has the number {typed[0]}; leave it to starter.py, which measures it."
    yield from _links_of(problem, problems)
    yield from _sources_of(problem)
    try:
        lesson_html(problem.text, {})
    except ValueError as error:
        yield f"{slug}: {error}"


def _links_of(problem: Problem, problems: Mapping[str, Problem]) -> Iterator[str]:
    slug = problem.slug
    if problem.unit not in (units := [unit.id for unit in all_units()]):
        yield f"{slug}: there is no unit {problem.unit!r}; units are {', '.join(units)}."
    for name in problem.glossary:
        if name not in all_entries():
            yield f"{slug}: the glossary has no entry {name}.{did_you_mean(name, all_entries())}"
    for name in problem.after:
        if name not in problems:
            yield f"{slug}: after lists {name}, which is no problem.{did_you_mean(name, problems)}"
    if slug in _before(problem, problems):
        yield f"{slug} has to be done before itself: check the key after of the problems that it lists."
    for name in problem.models:
        if name not in _models():
            yield f"{slug}: there is no bundled model {name!r}.{did_you_mean(name, _models())}"


def _sources_of(problem: Problem) -> Iterator[str]:
    cited = citations(problem.text)
    for names, year in sorted(cited):
        if not any(source.startswith(f"{names} ({year})") for source in problem.sources):
            yield f"{problem.slug} cites {names} ({year}), which sources do not list."
    for source in problem.sources:
        if not any(source.startswith(f"{names} ({year})") for names, year in cited):
            yield f"{problem.slug}: no sentence cites the source {source!r}."
    known = problem.parts["What is known"]
    if not citations(known) and not NOTHING_PUBLISHED.search(known):
        yield f"{problem.slug}: “What is known” cites nothing, and does not say that nothing is published."


def _before(problem: Problem, problems: Mapping[str, Problem]) -> set[str]:
    """Every problem to be done before this one."""
    found: set[str] = set()
    waiting = list(problem.after)
    while waiting:
        slug = waiting.pop()
        if slug not in found and slug in problems:
            found.add(slug)
            waiting += problems[slug].after
    return found


@cache
def _models() -> frozenset[str]:
    """What a starter can run on a fresh install."""
    bundled = {model.name for model in list_models() if model.where == "bundled"}
    return frozenset(bundled | set(bundled_dictionary_names()) | {f"planted/{name}" for name in PROGRAMS})


def main() -> int:
    """Print every mistake; exits with 1 if there is one."""
    console = Console(highlight=False)
    problems = all_problems()
    found = mistakes() + [each for problem in problems.values() for each in starter_mistakes(problem)]
    for mistake in found:
        console.print(mistake, markup=False, soft_wrap=True)
    console.print(f"{len(problems)} problems, {len(found)} mistake{'s' * (len(found) != 1)}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
