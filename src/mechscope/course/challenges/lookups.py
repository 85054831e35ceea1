"""The tasks whose answer is a letter or a number that has to be looked up or computed."""

from __future__ import annotations

import random

from mechscope.course.challenges.task import ChallengeTask, Shape, Tokens

# The first letter that occurs once

WORD = 6
FEW = "abcd"
NONE = "none"


def _first_unique(tokens: Tokens) -> str:
    return next((token for token in tokens if tokens.count(token) == 1), NONE)


def _words(rng: random.Random) -> Tokens:
    return tuple(rng.choices(FEW, k=WORD))


# The sum of digits

SUMMED = 5
DIGITS = tuple("0123456789")


def _digits(rng: random.Random) -> Tokens:
    return tuple(rng.choices(DIGITS, k=SUMMED))


def _any_digits(rng: random.Random) -> Tokens:
    # Also lists whose digits are all small, or all large.
    low = rng.randrange(10)
    high = rng.randrange(low, 10)
    return tuple(rng.choices(DIGITS[low : high + 1], k=SUMMED))


def _digit_sum(tokens: Tokens) -> str:
    return str(sum(map(int, tokens)))


# The largest number

NUMBERS = tuple(map(str, range(16)))
COUNT = 8


def _numbers(rng: random.Random) -> Tokens:
    return tuple(rng.choices(NUMBERS, k=COUNT))


def _any_numbers(rng: random.Random) -> Tokens:
    # Also lists without large numbers.
    return tuple(rng.choices(NUMBERS[: rng.randint(1, len(NUMBERS))], k=COUNT))


# How many different letters

MANY = tuple("abcdefgh")
LONG = 6


def _letters(rng: random.Random) -> Tokens:
    return tuple(rng.choices(MANY, k=LONG))


def _any_letters(rng: random.Random) -> Tokens:
    some = rng.sample(MANY, rng.randint(1, len(MANY)))
    return tuple(rng.choices(some, k=LONG))


# Subtraction

MODULUS = 31
RESIDUES = tuple(map(str, range(MODULUS)))


def _pair(rng: random.Random) -> Tokens:
    return rng.choice(RESIDUES), rng.choice(RESIDUES)


def _difference(tokens: Tokens) -> str:
    return str((int(tokens[0]) - int(tokens[1])) % MODULUS)


# Reversal

REVERSED = 6
REVERSED_LETTERS = tuple("abcde")
PLACES = tuple(map(str, range(1, REVERSED + 1)))


def _word_and_place(rng: random.Random) -> Tokens:
    return (*rng.choices(REVERSED_LETTERS, k=REVERSED), rng.choice(PLACES))


def _from_the_end(tokens: Tokens) -> str:
    return tokens[REVERSED - int(tokens[-1])]


def _is_word_and_place(tokens: Tokens) -> bool:
    return tokens[-1] in PLACES and all(token in REVERSED_LETTERS for token in tokens[:-1])


LOOKUPS = (
    ChallengeTask(
        name="first_unique",
        question="Which is the first of the six letters that occurs only once?",
        alphabet=tuple(FEW),
        labels=(*FEW, NONE),
        length=WORD,
        rule=_first_unique,
        draw=_words,
        draw_any=_words,
        shape=Shape(n_layers=2, n_heads=2, d_model=48, d_mlp=96),
        steps=3_000,
    ),
    ChallengeTask(
        name="digit_sum",
        question="What is the sum of the five digits?",
        alphabet=DIGITS,
        labels=tuple(map(str, range(9 * SUMMED + 1))),
        length=SUMMED,
        rule=_digit_sum,
        draw=_digits,
        draw_any=_any_digits,
        shape=Shape(n_layers=1, n_heads=2, d_model=32, d_mlp=64),
        steps=3_000,
    ),
    ChallengeTask(
        name="maximum",
        question="Which is the largest of the eight numbers?",
        alphabet=NUMBERS,
        labels=NUMBERS,
        length=COUNT,
        rule=lambda tokens: str(max(map(int, tokens))),
        draw=_numbers,
        draw_any=_any_numbers,
        shape=Shape(n_layers=1, n_heads=1, d_model=32, d_mlp=0),
    ),
    ChallengeTask(
        name="count_distinct",
        question="How many different letters are among the six?",
        alphabet=MANY,
        labels=tuple(map(str, range(1, LONG + 1))),
        length=LONG,
        rule=lambda tokens: str(len(set(tokens))),
        draw=_letters,
        draw_any=_any_letters,
        shape=Shape(n_layers=2, n_heads=2, d_model=32, d_mlp=64),
        steps=2_500,
    ),
    ChallengeTask(
        name="subtraction",
        question=f"What is the first number minus the second, modulo {MODULUS}?",
        alphabet=RESIDUES,
        labels=RESIDUES,
        length=2,
        rule=_difference,
        draw=_pair,
        draw_any=_pair,
        shape=Shape(n_layers=1, n_heads=4, d_model=48, d_mlp=96),
        steps=4_000,
        weight_decay=1.0,
    ),
    ChallengeTask(
        name="reversal",
        question="Which letter stands at the given place, from 1 to 6, when the six letters are read backwards?",
        alphabet=(*REVERSED_LETTERS, *PLACES),
        labels=REVERSED_LETTERS,
        length=REVERSED + 1,
        rule=_from_the_end,
        draw=_word_and_place,
        draw_any=_word_and_place,
        shape=Shape(n_layers=1, n_heads=2, d_model=32, d_mlp=0),
        asks=False,
        is_valid=_is_word_and_place,
    ),
)
"""Six of the eleven tasks."""
