"""Search the glossary: names first, then similar names, then the full text."""

from __future__ import annotations

import re
import sqlite3
from functools import cache

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
    slugs += _full_text(query)
    entries = all_entries()
    return [entries[slug] for slug in dict.fromkeys(slugs)][:limit]


def _full_text(query: str) -> list[str]:
    # Quoted words are plain words: without the quotes, AND, NEAR and * would be operators.
    words = [f'"{word}"' for word in re.findall(r"\w+", query)]
    if not words:
        return []
    words[-1] += "*"  # somebody may still be typing the last one
    # Words in names and in the line count more than those in the text.
    found = _index().execute(
        "SELECT slug FROM entries WHERE entries MATCH ? ORDER BY bm25(entries, 0, 10, 4, 1) LIMIT 20",
        [" AND ".join(words)],
    )
    return [slug for (slug,) in found]


@cache
def _index() -> sqlite3.Connection:
    """All entries in a full-text table in memory."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute(
        "CREATE VIRTUAL TABLE entries USING fts5(slug UNINDEXED, names, line, text, tokenize='porter unicode61')"
    )
    database.executemany(
        "INSERT INTO entries VALUES (?, ?, ?, ?)",
        ((entry.slug, "; ".join(entry.names), entry.line, entry.text) for entry in all_entries().values()),
    )
    return database
