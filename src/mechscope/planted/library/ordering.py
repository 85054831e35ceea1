"""Programs that reorder tokens."""

from __future__ import annotations

import itertools
import random

from mechscope.planted.library.copying import letters
from mechscope.planted.program import (
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

BAR = "|"
FILLER = "."


def reversal(n_tokens: int = 6, longest: int = 5) -> Program:
    """A word of 2 to `longest` tokens, a bar, and then the word backwards, token by token."""
    if longest < 2:
        raise ValueError(f"longest must be at least 2, not {longest}.")
    alphabet = letters(n_tokens)
    length = 2 * longest + 1

    def line(word: tuple[str, ...]) -> tuple[str, ...]:
        text = (*word, BAR, *reversed(word))
        return text + (FILLER,) * (length - len(text))

    def draw(rng: random.Random) -> tuple[str, ...]:
        return line(tuple(rng.choices(alphabet, k=rng.randint(2, longest))))

    def every():
        for size in range(2, longest + 1):
            yield from map(line, itertools.product(alphabet, repeat=size))

    def answers_at(row: tuple[str, ...]) -> range:
        bar = row.index(BAR) + 1
        return range(bar, 2 * bar - 1)

    bar = aggregate(select_where(tokens, lambda token: token == BAR), positions, "where the bar is")
    # The bar predicts the first answer, one step after the word's last token.
    mirror = elementwise(
        lambda bar, here: 2 * bar - 1 - here if here <= 2 * bar - 2 else None,
        bar,
        positions,
        note="mirror position",
        possible=lambda bar, here: bar <= here,
    )
    return Program(
        name="reversal",
        description=(
            f"A word of 2 to {longest} tokens, then '{BAR}'; from there on the word's tokens from last to first."
        ),
        output=aggregate(select(positions, mirror, equal), tokens, "reversal"),
        alphabet=(*alphabet, BAR, FILLER),
        length=length,
        draw=draw,
        every=every,
        answers_at=answers_at,
    )


def sort(n_tokens: int = 6, length: int = 6) -> Program:
    """At position i the i-th smallest token, counting ties; bidirectional. Weiss et al. 2021 (algorithm)."""
    alphabet = letters(n_tokens)
    smaller = selector_width(select(tokens, tokens, lambda key, query: key < query), "smaller tokens")
    same_before = selector_width(
        select(tokens, tokens, equal) & select(positions, positions, lambda key, query: key < query),
        "equal tokens before",
    )
    rank = elementwise(
        lambda smaller, same: smaller + same + 1,
        smaller,
        same_before,
        note="rank",
        possible=lambda smaller, same: smaller + same < length,
    )

    def draw(rng: random.Random) -> tuple[str, ...]:
        return tuple(rng.choices(alphabet, k=length))

    return Program(
        name="sort",
        description="At position i the i-th smallest token of the whole input (equal tokens allowed); bidirectional.",
        output=aggregate(select(rank, positions, equal), tokens, "token of this rank"),
        alphabet=alphabet,
        length=length,
        draw=draw,
        every=lambda: itertools.product(alphabet, repeat=length),
        causal=False,
    )


def sort_next(n_tokens: int = 8, size: int = 5) -> Program:
    """Different tokens, a bar, and then the tokens in order: each is the smallest one above the current token."""
    alphabet = letters(n_tokens)
    if not 2 <= size <= n_tokens:
        raise ValueError(f"size must be between 2 and n_tokens={n_tokens}, not {size}.")

    def line(word: tuple[str, ...]) -> tuple[str, ...]:
        return (*word, BAR, *sorted(word)[:-1])

    def draw(rng: random.Random) -> tuple[str, ...]:
        return line(tuple(rng.sample(alphabet, size)))

    order = {token: rank for rank, token in enumerate((BAR, *alphabet))}
    larger = select(tokens, tokens, lambda key, query: key != BAR and order[key] > order[query])
    smallest_of_prompt = select(
        positions,
        positions,
        lambda key, query: key <= size < query,
        prefer=elementwise(lambda token: -order[token], tokens),
    )
    return Program(
        name="sort_next",
        description=(
            f"{size} different tokens, then '{BAR}'; from there on these tokens in order, each predicted from the one "
            "before it."
        ),
        output=aggregate(larger & smallest_of_prompt, tokens, "next larger token"),
        alphabet=(*alphabet, BAR),
        length=2 * size,
        draw=draw,
        every=lambda: map(line, itertools.permutations(alphabet, size)),
        answers_at=lambda row: range(size + 1, 2 * size + 1),
    )
