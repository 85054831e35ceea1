"""Programs that count."""

from __future__ import annotations

import itertools
import random

from mechscope.planted.library.copying import letters
from mechscope.planted.program import (
    Expression,
    Program,
    aggregate,
    elementwise,
    equal,
    positions,
    select,
    select_where,
    selector_width,
    tokens,
)


def _program(
    name: str, description: str, output: Expression, alphabet: tuple[str, ...], length: int
) -> Program:
    def draw(rng: random.Random) -> tuple[str, ...]:
        # Include inputs with few different tokens, so that high counts occur too.
        some = rng.sample(alphabet, rng.randint(2, len(alphabet)))
        return tuple(rng.choices(some, k=length))

    return Program(
        name,
        description,
        output,
        alphabet,
        length,
        draw,
        every=lambda: itertools.product(alphabet, repeat=length),
    )


def histogram(n_tokens: int = 4, length: int = 6) -> Program:
    """How often the current token has occurred so far, including itself. Weiss et al. 2021 (task)."""
    count = selector_width(select(tokens, tokens, equal), "count of own token")
    return _program(
        "histogram",
        "At every position how often its token has occurred so far, itself included, as a number token.",
        elementwise(str, count),
        letters(n_tokens),
        length,
    )


def most_frequent(n_tokens: int = 4, length: int = 7) -> Program:
    """The most frequent token so far; ties go to the one that occurred last."""
    count = selector_width(select(tokens, tokens, equal), "count of own token")
    # The last occurrence of a token carries its full count.
    everywhere = select(count, positions, lambda key, query: True, prefer=(count, positions))
    return _program(
        "most_frequent",
        "At every position the most frequent token so far; of equally frequent ones, the one that occurred last.",
        aggregate(everywhere, tokens, "most frequent token"),
        letters(n_tokens),
        length,
    )


def pattern_count(pattern: str = "ab", n_tokens: int = 3, length: int = 7) -> Program:
    """How often a given pair of adjacent tokens has occurred so far."""
    alphabet = letters(n_tokens)
    if len(pattern) != 2 or any(token not in alphabet for token in pattern):
        raise ValueError(f"pattern must be two of the tokens {' '.join(alphabet)}, not {pattern!r}.")
    before = aggregate(
        select(positions, positions, lambda key, query: key == query - 1), tokens, "token before"
    )
    here = select_where(before, lambda token: token == pattern[0]) & select_where(
        tokens, lambda token: token == pattern[1]
    )
    return _program(
        "pattern_count",
        f"At every position how often '{pattern[0]} {pattern[1]}' has occurred so far, as a number token.",
        elementwise(str, selector_width(here, "count of the pattern")),
        alphabet,
        length,
    )


def parity(window: int = 4, length: int = 9) -> Program:
    """Whether the number of ones among the last `window` tokens is even or odd."""
    if not 1 <= window <= length:
        raise ValueError(f"window must be between 1 and length={length}, not {window}.")
    ones = select_where(tokens, lambda token: token == "1") & select(
        positions, positions, lambda key, query: query - window < key <= query
    )
    odd = elementwise(
        lambda count: "odd" if count % 2 else "even", selector_width(ones, "ones in the window")
    )
    return _program(
        "parity",
        f"At every position whether the ones among the last {window} tokens are 'even' or 'odd' in number.",
        odd,
        ("0", "1"),
        length,
    )
