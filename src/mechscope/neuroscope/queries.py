"""Find units: by a token, by a statistic, and by the text of their contexts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mechscope.neuroscope.full_text import match_expression, matches, phrases
from mechscope.neuroscope.schema import KINDS, VALUE
from mechscope.neuroscope.statistics import MEASURES, ranked
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.store_reading import Snapshot
from mechscope.neuroscope.unit_text import shown_token
from mechscope.neuroscope.units import UnitAddress, as_names

MOST_SEQUENCES = 200
"""A search in texts looks at the contexts in so many sequences, those that fit best."""


@dataclass(frozen=True)
class TokenUnit:
    """A unit that fires on a token."""

    address: UnitAddress
    contexts: int
    """How many of its top contexts were kept for this token …"""
    of: int
    """… out of so many."""
    highest: float
    """The highest activation among these."""

    def __repr__(self) -> str:
        return f"<{self.address}: {self.contexts} of {self.of} top contexts, highest {self.highest:.3g}>"


@dataclass(frozen=True)
class RankedUnit:
    """A unit with the value of a measure."""

    address: UnitAddress
    value: float

    def __repr__(self) -> str:
        return f"<{self.address}: {self.value:.4g}>"


@dataclass(frozen=True)
class TextUnit:
    """A unit with contexts that have the words of a search."""

    address: UnitAddress
    contexts: int
    """How many of its top or lowest contexts have them."""
    example: str
    """The text of the first of these."""

    def __repr__(self) -> str:
        return f"<{self.address}: {self.contexts} contexts, such as {shown_token(self.example)!r}>"


def find_by_token(store: NeuroscopeStore, token: str, limit: int = 20) -> tuple[TokenUnit, ...]:
    """The units whose top contexts were kept most often for a token.

    Args:
        token: the token's text. With spaces around it, only exactly this token is meant; without, also the tokens
            that differ from it in spaces.
        limit: how many units at most.

    Raises:
        KeyError: if no token has this text.
    """
    with store.reader.snapshot() as snapshot:
        # Only spaces are ignored: a line break is a token of its own.
        condition = "text = ?" if token != token.strip(" ") or not token else "trim(text) = ?"
        ids = [
            number
            for (number,) in snapshot.connection.execute(
                f"SELECT token FROM vocabulary WHERE {condition}", [token]
            )
        ]
        if not ids:
            raise KeyError(
                f"{store.model} has no token {token!r}: its tokenizer divides this text. Give a shorter piece, or "
                "search the texts for it (`mechscope neuroscope search`)."
            )
        marks = ", ".join("?" * len(ids))
        rows = snapshot.connection.execute(
            f"SELECT unit, sum(contexts) AS number, max(highest) AS highest FROM firing_tokens "
            f"WHERE token IN ({marks}) GROUP BY unit ORDER BY number DESC, highest DESC, unit LIMIT ?",
            [*ids, limit],
        ).fetchall()
        return tuple(
            TokenUnit(snapshot.address(unit), contexts, _top_contexts(snapshot, unit), highest)
            for unit, contexts, highest in rows
        )


def find_by_statistic(
    store: NeuroscopeStore, measure: str, sites: str | Sequence[str] = (), limit: int = 20, skip: int = 0
) -> tuple[RankedUnit, ...]:
    """The units that stand out by a measure (see `statistics.MEASURES`), the most extreme first.

    Args:
        measure: "kurtosis", "skewness", "sparse", "bimodal" …
        sites: only units of these sites; empty for all.
        limit: how many units at most.
        skip: how many of the first to leave out.

    Raises:
        KeyError: for an unknown measure or site.
    """
    found: list[RankedUnit] = []
    for name in as_names(sites) or [site.name for site in store.sites()]:
        order, values = ranked(store.statistics(name), measure)
        best = zip(order[: skip + limit].tolist(), values[: skip + limit].tolist(), strict=True)
        found += [RankedUnit(UnitAddress(store.model, name, unit), value) for unit, value in best]
    sign = 1 if MEASURES[measure].ascending else -1
    return tuple(sorted(found, key=lambda unit: sign * unit.value)[skip : skip + limit])


def find_by_text(store: NeuroscopeStore, words: str, limit: int = 20) -> tuple[TextUnit, ...]:
    """The units with the most top or lowest contexts that have all these words where they are shown.

    Args:
        words: words in any order; text in double quotes is a phrase, and the last word may be the start of one.
        limit: how many units at most.

    Raises:
        ValueError: for text without a word.
    """
    wanted, expression = phrases(words), match_expression(words)
    numbers: Counter[int] = Counter()
    examples: dict[int, str] = {}
    with store.reader.snapshot() as snapshot:
        rows = snapshot.connection.execute(
            "SELECT unit, start, length(activations), tokens FROM "
            "(SELECT rowid AS found, rank AS fit FROM sequence_text WHERE sequence_text MATCH ? ORDER BY rank LIMIT ?) "
            "JOIN contexts ON contexts.sequence = found JOIN sequences ON sequences.id = found "
            "WHERE kind IN (?, ?) ORDER BY fit",
            [expression, MOST_SEQUENCES, KINDS.index("top"), KINDS.index("low")],
        )
        known: dict[tuple[bytes, int, int], str | None] = {}
        for unit, start, size, tokens in rows:
            place = (tokens, start, size)
            if place not in known:
                window = np.frombuffer(tokens, snapshot.token_type)[
                    start : start + size // VALUE.itemsize
                ].tolist()
                texts = snapshot.texts(window)
                text = "".join(texts[token] for token in window)
                known[place] = text if matches(wanted, text) else None
            if (text := known[place]) is not None:
                numbers[unit] += 1
                examples.setdefault(unit, text)
        best = sorted(numbers.items(), key=lambda found: (-found[1], found[0]))[:limit]
        return tuple(TextUnit(snapshot.address(unit), number, examples[unit]) for unit, number in best)


def _top_contexts(snapshot: Snapshot, unit: int) -> int:
    return snapshot.connection.execute(
        "SELECT count(*) FROM contexts WHERE unit = ? AND kind = ?", [unit, KINDS.index("top")]
    ).fetchone()[0]
