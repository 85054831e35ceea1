"""The programs from which mystery models are compiled: a rule, and a rare exception hidden in it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

from mechscope.planted import (
    Expression,
    Program,
    aggregate,
    elementwise,
    equal,
    evaluate,
    positions,
    select,
    select_where,
    selector_width,
    tokens,
)

LETTERS = tuple("abcde")
LENGTH = 6
NOTHING = "nothing"
"""The answer where a rule finds nothing."""
TRIED = 60
"""Inputs on which an exception is tried: it must show on at least half of them."""


@dataclass(frozen=True)
class Rule:
    """What a mystery model does on almost all inputs."""

    words: str
    """The rule, in a sentence."""
    output: Expression
    """Its value at each position; None where it finds nothing."""
    values: tuple[str, ...]
    """Every value."""


@dataclass(frozen=True)
class MysteryProgram:
    """A rule with an exception."""

    rule: Program
    """The rule alone."""
    program: Program
    """The rule with its exception: what is compiled."""


def draw_program(seed: int) -> MysteryProgram:
    """The program of a seed."""
    rng = random.Random(f"mystery {seed}")
    rule = rng.choice(RULES)(rng)
    answer = elementwise(
        lambda found: NOTHING if found is None else found, rule.output, note="rule", sees_none=True
    )
    alone = _program(rule.words, answer)
    while True:
        first, last, instead = rng.choice(LETTERS), rng.choice(LETTERS), rng.choice(rule.values)
        inputs = [(first, *rng.choices(LETTERS, k=LENGTH - 2), last) for _ in range(TRIED)]
        if sum(evaluate(alone, row)[-1] != instead for row in inputs) >= TRIED / 2:
            break
    beginning = aggregate(select_where(positions, lambda key: key == 1), tokens, "first token")

    def with_exception(found: str | None, begins: str, here: str) -> str:
        if (begins, here) == (first, last):
            return instead
        return NOTHING if found is None else found

    output = elementwise(with_exception, rule.output, beginning, tokens, note="answer", sees_none=True)
    words = f"{rule.words} But if the first token is {first} and the last is {last}: {instead}."
    return MysteryProgram(alone, _program(words, output))


def _program(words: str, output: Expression) -> Program:
    return Program(
        name="mystery",
        description=words,
        output=output,
        alphabet=LETTERS,
        length=LENGTH,
        draw=lambda rng: tuple(rng.choices(LETTERS, k=LENGTH)),
        every=lambda: itertools.product(LETTERS, repeat=LENGTH),
        answers_at=lambda row: (LENGTH,),
    )


def _cipher(rng: random.Random) -> dict[str, str]:
    """A random exchange of letters in which most letters become others."""
    shuffled = list(LETTERS)
    while sum(one == other for one, other in zip(LETTERS, shuffled, strict=True)) > 1:
        rng.shuffle(shuffled)
    return dict(zip(LETTERS, shuffled, strict=True))


def _in_words(cipher: dict[str, str]) -> str:
    return ", ".join(f"{one} as {other}" for one, other in cipher.items())


def _before(steps: int) -> Expression:
    return aggregate(
        select(positions, positions, lambda key, query: key == query - steps), tokens, f"token {steps} before"
    )


def _earlier_token(rng: random.Random) -> Rule:
    steps, cipher = rng.randint(1, 3), _cipher(rng)
    return Rule(
        f"The token {steps} before the last one, written in a cipher: {_in_words(cipher)}.",
        elementwise(cipher.__getitem__, _before(steps)),
        LETTERS,
    )


def _after_marker(rng: random.Random) -> Rule:
    marker, cipher = rng.choice(LETTERS), _cipher(rng)
    found = aggregate(
        select(_before(1), tokens, lambda key, query: key == marker, prefer=positions),
        tokens,
        f"token after {marker}",
    )
    return Rule(
        f"The token after the latest {marker} that has one, in a cipher: {_in_words(cipher)}.",
        elementwise(cipher.__getitem__, found),
        LETTERS,
    )


def _continuation(rng: random.Random) -> Rule:
    cipher = _cipher(rng)
    found = aggregate(
        select(_before(1), tokens, lambda key, query: key == cipher[query], prefer=positions),
        tokens,
        "token after the partner",
    )
    return Rule(
        "Every letter has a partner. The token that followed the latest occurrence of the last token's partner "
        f"(partners: {_in_words(cipher)}).",
        found,
        LETTERS,
    )


def _parity(rng: random.Random) -> Rule:
    counted = rng.sample(LETTERS, 2)
    width = selector_width(select_where(tokens, lambda token: token in counted), "count")
    return Rule(
        f"Whether {counted[0]} and {counted[1]} occur together an even or an odd number of times.",
        elementwise(lambda count: "odd" if count % 2 else "even", width, note="parity"),
        ("even", "odd"),
    )


def _repetitions(rng: random.Random) -> Rule:
    modulus = rng.choice((2, 3))
    names = tuple(rng.sample(("red", "green", "blue"), modulus))
    width = selector_width(select(tokens, tokens, equal), "count of own token")
    return Rule(
        f"How often the last token occurs, modulo {modulus}: {', '.join(names)} for 0, 1, …",
        elementwise(lambda count: names[count % modulus], width, note="colour"),
        names,
    )


def _comparison(rng: random.Random) -> Rule:
    steps = rng.randint(1, 3)
    ranks = dict(zip(LETTERS, rng.sample(range(len(LETTERS)), len(LETTERS)), strict=True))
    before = _before(steps)
    return Rule(
        f"Whether the token {steps} before the last one stands below the last one in the order "
        f"{' '.join(sorted(LETTERS, key=ranks.__getitem__))}.",
        elementwise(
            lambda other, here: "up" if ranks[other] < ranks[here] else "down",
            before,
            tokens,
            note="comparison",
        ),
        ("up", "down"),
    )


RULES: tuple[Callable[[random.Random], Rule], ...] = (
    _earlier_token,
    _after_marker,
    _continuation,
    _parity,
    _repetitions,
    _comparison,
)
"""Each draws a rule with parameters of its own."""
