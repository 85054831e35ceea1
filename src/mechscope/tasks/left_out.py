"""The words of a task that it does without, because this tokenizer writes them as several tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 12


@dataclass(frozen=True)
class LeftOut:
    """Words of one kind that are several tokens in this vocabulary; no prompt contains them.

    >>> str(LeftOut("names", ("Donna", "Derek"), 87))
    '2 of 87 names (Donna, Derek)'
    """

    what: str
    """The kind: "names", "nouns" and so on."""
    words: tuple[str, ...]
    """The words."""
    listed: int
    """How many words of this kind the task has, with these."""

    @property
    def count(self) -> str:
        """How many of how many, such as "2 of 87 names"."""
        return f"{len(self.words)} of {self.listed} {self.what}"

    def __str__(self) -> str:
        return f"{self.count} ({some(self.words)})"


def some(words: Sequence[str]) -> str:
    """The first words of a list, and how many more there are.

    >>> some(["one", "two"])
    'one, two'
    """
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more
