"""Programs that find a token and copy it or report that they found it."""

from __future__ import annotations

import itertools
import random
import string

from mechscope.planted.program import (
    Program,
    aggregate,
    constant,
    elementwise,
    equal,
    positions,
    select,
    select_where,
    tokens,
)


def letters(n: int) -> tuple[str, ...]:
    """The first letters of the alphabet.

    Raises:
        ValueError: for fewer than 2 or more than 26.
    """
    if not 2 <= n <= 26:
        raise ValueError(f"n_tokens must be between 2 and 26, not {n}.")
    return tuple(string.ascii_lowercase[:n])


def _sequences(name: str, description: str, output: object, n_tokens: int, length: int) -> Program:
    alphabet = letters(n_tokens)

    def draw(rng: random.Random) -> tuple[str, ...]:
        return tuple(rng.choices(alphabet, k=length))

    return Program(
        name,
        description,
        output,  # type: ignore[arg-type]
        alphabet,
        length,
        draw,
        every=lambda: itertools.product(alphabet, repeat=length),
    )


def previous_token(n_tokens: int = 8, length: int = 8) -> Program:
    """At each position, the token before it."""
    before = aggregate(
        select(positions, positions, lambda key, query: key == query - 1), tokens, "token before"
    )
    return _sequences("previous_token", "At every position the token before it.", before, n_tokens, length)


def first_token(n_tokens: int = 8, length: int = 8) -> Program:
    """At each position, the first token."""
    first = aggregate(select_where(positions, lambda key: key == 1), tokens, "first token")
    return _sequences("first_token", "At every position the first token.", first, n_tokens, length)


def induction(n_tokens: int = 8, length: int = 12) -> Program:
    """The token that followed the previous occurrence. Olsson et al. 2022, the algorithm."""
    before = aggregate(
        select(positions, positions, lambda key, query: key == query - 1), tokens, "token before"
    )
    # An earlier occurrence of the current token is recorded as "token before" at its successor.
    output = aggregate(select(before, tokens, equal, prefer=positions), tokens, "induction")
    return _sequences(
        "induction",
        "The token that followed the latest earlier occurrence of the current token; no answer if there is none.",
        output,
        n_tokens,
        length,
    )


def duplicate_token(n_tokens: int = 8, length: int = 8) -> Program:
    """Whether the current token has been seen before."""
    same = select(tokens, tokens, equal) & select(positions, positions, lambda key, query: key < query)
    found = aggregate(same, constant("seen"), "duplicate token")
    output = elementwise(lambda seen: seen or "new", found, sees_none=True)
    return _sequences(
        "duplicate_token",
        "At every position 'seen' where its token occurred earlier, else 'new'.",
        output,
        n_tokens,
        length,
    )


NAMES = ("Mary", "John", "Tom", "Anna", "Paul", "Kate", "Bill", "Lucy")
TEMPLATE: tuple[str, ...] = ("then", "#", ",", "#", "and", "#", "met", "so", "to")


def ioi(n_names: int = 6) -> Program:
    """The name that occurs once: duplicate-token head, S-inhibition head, name mover, as in Wang et al. 2022.

    Three names in any order, two of them the same; so the position of the second occurrence varies too.
    """
    if not 3 <= n_names <= len(NAMES):
        raise ValueError(f"n_names must be between 3 and {len(NAMES)}, not {n_names}.")
    names = NAMES[:n_names]
    slots = [index for index, word in enumerate(TEMPLATE) if word == "#"]

    def sentence(once: str, twice: str, odd: int) -> tuple[str, ...]:
        filled = list(TEMPLATE)
        for index, slot in enumerate(slots):
            filled[slot] = once if index == odd else twice
        return tuple(filled)

    every = [
        sentence(once, twice, odd) for once, twice in itertools.permutations(names, 2) for odd in range(3)
    ]
    is_name = select_where(tokens, lambda token: token in names)
    same_name = select(tokens, tokens, equal) & select(positions, positions, lambda key, query: key < query)
    duplicate = aggregate(is_name & same_name, constant("repeated"), "duplicate token")
    at_end = select(positions, positions, lambda key, query: query == len(TEMPLATE))
    inhibited = aggregate(
        select_where(duplicate, lambda mark: mark == "repeated") & at_end, tokens, "S-inhibition"
    )
    others = select(tokens, inhibited, lambda name, twice: name in names and name != twice)
    return Program(
        name="ioi",
        description="Three names, one of them twice; at the end, the name that occurs once.",
        output=aggregate(others, tokens, "name mover"),
        alphabet=(*dict.fromkeys((*names, *(word for word in TEMPLATE if word != "#"))),),
        length=len(TEMPLATE),
        draw=lambda rng: rng.choice(every),
        every=lambda: every,
        answers_at=lambda row: (len(TEMPLATE),),
    )
