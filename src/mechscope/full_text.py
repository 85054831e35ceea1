"""Full-text search over a few hundred texts, in memory."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence


class FullText:
    """Texts in fields, which are searched by words. Inflections count as the same word."""

    def __init__(self, texts: Mapping[str, Sequence[str]], weights: Sequence[float]) -> None:
        """
        Args:
            texts: name → its fields, as many for each name.
            weights: how much a word counts in each field.

        >>> FullText({"a": ["Heads", "They attend."], "b": ["Neurons", "No head."]}, [5, 1]).find("head")
        ['a', 'b']
        """
        self._weights = ", ".join(["0", *(str(float(weight)) for weight in weights)])
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        fields = ", ".join(f"field{number}" for number in range(len(weights)))
        self._database.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5(name UNINDEXED, {fields}, tokenize='porter unicode61')"
        )
        places = ", ".join("?" * (len(weights) + 1))
        self._database.executemany(
            f"INSERT INTO texts VALUES ({places})", ([name, *fields] for name, fields in texts.items())
        )

    def find(self, query: str, limit: int = 20) -> list[str]:
        """The names of the texts that have every word of a query, the best first.

        Args:
            query: words. The last one may be the beginning of a word; signs mean nothing.
            limit: how many to return at most.
        """
        # Quoted words are plain words: without the quotes, AND, NEAR and * would be operators.
        words = [f'"{word}"' for word in re.findall(r"\w+", query)]
        if not words:
            return []
        words[-1] += "*"  # somebody may still be typing it
        found = self._database.execute(
            f"SELECT name FROM texts WHERE texts MATCH ? ORDER BY bm25(texts, {self._weights}) LIMIT ?",
            [" AND ".join(words), limit],
        )
        return [name for (name,) in found]
