"""The terms that the glossary explains, for the pages of other rooms and for reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mechscope.glossary.entry import Entry, all_entries
from mechscope.pages.terms import Term

ROUTE = "glossary/"
ORDINARY = frozenset(
    {"cache", "clock", "copying", "error", "feature", "head", "hook", "importance", "noise", "pizza", "rank"}
)
"""Terms that are also ordinary words, so that lessons do not link them."""


def site_terms() -> Sequence[Term]:
    """Each term with its names in lessons, its line and its page."""
    return [
        Term(names, entry.line, entry_route(entry))
        for entry in all_entries().values()
        if (names := _names_in_lessons(entry))
    ]


def entry_route(entry: Entry) -> str:
    """Where the page of an entry is.

    >>> entry_route(all_entries()["cherry-picking"])
    'glossary/cherry-picking/'
    """
    return f"{ROUTE}{entry.slug}/"


def _names_in_lessons(entry: Entry) -> tuple[str, ...]:
    """By which names lessons link to an entry: not by words that usually mean something else, such as "score"."""
    own = () if entry.term.lower() in ORDINARY else (entry.term,)
    # Another name is clear if it has several words or is an abbreviation.
    return own + tuple(name for name in entry.aliases if re.search(r"\w[\s-]+\w|[A-Z0-9]", name))
