"""Find passages of text, and the tokens that they cover."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

Tokens = tuple[str, ...]
"""The tokens of a sequence, as text."""
At = Literal["all", "first", "last", "next"]
"""Which tokens of a passage count: all that it covers, the first, the last, or the one after it."""
PLACES: tuple[At, ...] = get_args(At)
DEADLINE = 20.0
"""Seconds that a regular expression may take for all texts together."""
Spans = list[tuple[int, int]]
"""Passages of a text as (start, end), counted in characters."""

# Python cannot stop a regular expression that has gone astray, but it can stop a process.
_SEARCH = """
import json, re, sys
asked = json.load(sys.stdin)
pattern = re.compile(asked["pattern"])
group = 1 if pattern.groups else 0
found = [[m.span(group) for m in pattern.finditer(text)] for text in asked["texts"]]
json.dump(found, sys.stdout)
"""


def spans_of(pattern: str, texts: Sequence[str], deadline: float = DEADLINE) -> list[Spans]:
    """For each text, the passages that a regular expression matches; those of its first group if it has groups.

    Another process searches, and is stopped when the time is up.

    Args:
        pattern: a regular expression that compiles.
        deadline: seconds for all texts.

    Raises:
        ValueError: if it takes longer.
    """
    asked = json.dumps({"pattern": pattern, "texts": list(texts)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=asked,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=True,
            encoding="utf-8",
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"the regular expression {pattern!r} took longer than {deadline:g} seconds for "
            f"{sum(map(len, texts)):,} characters. Repeats within repeats, such as (a+)+, cause this: write it without."
        ) from error
    # A group that took no part in a match has the span (-1, -1).
    return [[(start, end) for start, end in spans if 0 <= start < end] for spans in json.loads(done.stdout)]


def covered(tokens: Tokens, spans: Spans, at: At) -> Bool[np.ndarray, " pos"]:
    """The tokens that passages of a text cover.

    >>> covered((" im", "port", " os"), [(1, 7)], "all").tolist()
    [True, True, False]
    >>> covered((" im", "port", " os"), [(1, 7)], "next").tolist()
    [False, False, True]
    >>> covered(("caf", "é", "", "s"), [(0, 4)], "all").tolist()
    [True, True, True, False]
    """
    found = np.zeros(len(tokens), bool)
    starts, ends = _borders(tokens)
    for start, end in spans:
        first = int(np.searchsorted(ends, start, side="right"))
        after = int(np.searchsorted(starts, end, side="left"))
        # Tokens without text are the rest of a character that is divided between tokens.
        while after < len(tokens) and not tokens[after]:
            after += 1
        chosen = {
            "all": slice(first, after),
            "first": slice(first, first + 1),
            "last": slice(after - 1, after),
            "next": slice(after, after + 1),
        }[at]
        found[chosen] = True
    return found


def _borders(tokens: Tokens) -> tuple[Int[np.ndarray, " pos"], Int[np.ndarray, " pos"]]:
    """Where each token starts and ends in the text."""
    sizes = np.array([len(token) for token in tokens], np.int64)
    ends = np.cumsum(sizes)
    return ends - sizes, ends
