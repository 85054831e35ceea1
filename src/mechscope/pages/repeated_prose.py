"""Find prose that stands in two texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

REPEATED = 12
"""So many words in a row that two texts share are a repetition."""


def repetitions(texts: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """Pairs of texts that share words, each once: the later text, the earlier one, and the words.

    Args:
        texts: name → words. Case and punctuation do not count.

    >>> words = [f"word{number}" for number in range(REPEATED)]
    >>> next(repetitions({"a": words, "b": ["Then", *words]}))[:2]
    ('b', 'a')
    """
    first: dict[tuple[str, ...], str] = {}
    reported: set[tuple[str, str]] = set()
    for name, words in texts.items():
        plain = [re.sub(r"\W", "", word).lower() for word in words]
        for start in range(len(plain) - REPEATED + 1):
            run = tuple(plain[start : start + REPEATED])
            other = first.setdefault(run, name)
            if other != name and (other, name) not in reported:
                reported.add((other, name))
                yield name, other, " ".join(run)
