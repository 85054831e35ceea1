"""Addition: of digits with carry, and modular by adding angles."""

from __future__ import annotations

import itertools
import random

from mechscope.planted.circles import Circles
from mechscope.planted.program import (
    CircleSum,
    Expression,
    Program,
    aggregate,
    elementwise,
    positions,
    select,
    select_where,
    tokens,
)


def addition(digits: int = 2, base: int = 10) -> Program:
    """Two numbers with `digits` digits each and their sum with carries, most significant digit first.

    Each column's sum is computed at the second number's digit. A column receives a carry if the nearest lower column
    whose sum is not base - 1 has a sum of at least base.
    """
    if digits < 1 or not 2 <= base <= 10:
        raise ValueError(f"digits={digits} must be at least 1 and base={base} between 2 and 10.")
    symbols = tuple(str(digit) for digit in range(base))
    equals = 2 * digits + 2
    """The position of the equals sign, which predicts the first answer."""

    def numeral(number: int, width: int) -> tuple[str, ...]:
        return tuple(str(number // base**place % base) for place in reversed(range(width)))

    def line(first: int, second: int) -> tuple[str, ...]:
        total = numeral(first + second, digits + 1)
        return (*numeral(first, digits), "+", *numeral(second, digits), "=", *total[:-1])

    def draw(rng: random.Random) -> tuple[str, ...]:
        first = rng.randrange(base**digits)
        second = rng.randrange(base**digits)
        if rng.random() < 0.3:
            # Long carries are rare in random numbers, so generate columns that sum to base - 1.
            second = base**digits - 1 - first + rng.randint(0, 1)
        return line(first, min(second, base**digits - 1))

    def column(answer: int) -> int:
        """The position of the second number's digit in the column that an answer position predicts."""
        return answer - digits - 1

    def add(first: str, second: str) -> int | None:
        return int(first) + int(second) if first in symbols and second in symbols else None

    above = aggregate(
        select(positions, positions, lambda key, query: key == query - digits - 1), tokens, "digit above"
    )
    total = elementwise(add, above, tokens, note="column sum")
    own = aggregate(
        select(positions, positions, lambda key, query: key == column(query) and query >= equals),
        total,
        "sum of the column",
    )
    below = select(
        positions,
        positions,
        lambda key, query: query >= equals and column(query) < key < equals,
        prefer=elementwise(lambda here: -here, positions),
    )
    decided = select_where(total, lambda total: total != base - 1)
    carry = aggregate(below & decided, elementwise(lambda total: total >= base, total), "carry")
    output = elementwise(
        lambda own, carry: str(((own or 0) + bool(carry)) % base), own, carry, note="digit", sees_none=True
    )
    return Program(
        name="addition",
        description=(
            f"Two numbers of {digits} digits in base {base}, '=', and the {digits + 1} digits of their sum, most "
            "significant first."
        ),
        output=output,
        alphabet=(*symbols, "+", "="),
        length=3 * digits + 2,
        draw=draw,
        every=lambda: itertools.starmap(line, itertools.product(range(base**digits), repeat=2)),
        answers_at=lambda row: range(equals, equals + digits + 1),
    )


def modular_addition(modulus: int = 13, frequencies: tuple[int, ...] = (1, 2, 3, 5)) -> Program:
    """Two residues and their sum, computed by adding angles. Nanda et al. 2023 (algorithm)."""
    if modulus < 3 or not frequencies or any(not 0 < 2 * one < modulus for one in frequencies):
        raise ValueError(
            f"modulus={modulus} must be at least 3, and frequencies={frequencies} at least 1 and less than half of it."
        )
    residues = tuple(str(residue) for residue in range(modulus))
    circle = Circles(modulus, tuple(frequencies))

    def embed(token: str) -> tuple[float, ...]:
        if token == "=":
            return (*(0.0 for _ in range(2 * len(frequencies))), 1.0)
        return (*circle(int(token)), 0.0)

    number = elementwise(lambda token: None if token == "=" else int(token), tokens)

    def operand(position: int, note: str) -> Expression:
        there = select_where(positions, lambda key: key == position)
        return aggregate(there, number, note, encode=circle)

    total = CircleSum(
        operand(1, "first number"), operand(2, "second number"), modulus, circle.frequencies, "sum of angles"
    )
    return Program(
        name="modular_addition",
        description=f"Two numbers below {modulus} and '='; there, their sum modulo {modulus}.",
        output=elementwise(str, total),
        alphabet=(*residues, "="),
        length=3,
        draw=lambda rng: (rng.choice(residues), rng.choice(residues), "="),
        every=lambda: ((first, second, "=") for first, second in itertools.product(residues, repeat=2)),
        answers_at=lambda row: (3,),
        encode_tokens=embed,
    )
