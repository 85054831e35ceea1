"""Search the glossary: names first, then similar names, then the full text."""

from __future__ import annotations

from functools import cache

from mechscope.full_text import FullText
from mechscope.glossary.entry import Entry, all_entries, find_entry, near_slugs


def search(query: str, limit: int = 8) -> list[Entry]:
    """The entries that fit a query, the best first.

    Args:
        query: a term, perhaps misspelt, or words that the text of an entry has. Inflections count as the same word.
        limit: how many to return at most.

    >>> [entry.slug for entry in search("chery pickin")][0]
    'cherry-picking'
    """
    slugs: list[str] = []
    try:
        slugs.append(find_entry(query).slug)
    except KeyError:
        slugs += near_slugs(query)
    slugs += _index().find(query)
    entries = all_entries()
    return [entries[slug] for slug in dict.fromkeys(slugs)][:limit]


@cache
def _index() -> FullText:
    # Words in names and in the line count more than those in the text.
    return FullText(
        {entry.slug: ("; ".join(entry.names), entry.line, entry.text) for entry in all_entries().values()},
        weights=(10, 4, 1),
    )
