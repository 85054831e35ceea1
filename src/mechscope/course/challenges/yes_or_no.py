"""The tasks whose answer is yes or no, or which of a few things is more."""

from __future__ import annotations

import random

from mechscope.course.challenges.task import ChallengeTask, Shape, Tokens

YES_NO = ("no", "yes")


def _yes(holds: bool) -> str:
    return YES_NO[holds]


# Brackets

BRACKETS = 10


def _is_balanced(tokens: Tokens) -> bool:
    depth = 0
    for token in tokens:
        depth += 1 if token == "(" else -1
        if depth < 0:
            return False
    return depth == 0


def _balanced(rng: random.Random) -> Tokens:
    row, depth = ["("], 1
    for left in range(BRACKETS - 1, 0, -1):
        closes = depth > 0 and (depth == left or rng.random() < 0.5)
        row.append(")" if closes else "(")
        depth += -1 if closes else 1
    return tuple(row)


def _brackets(rng: random.Random) -> Tokens:
    # What is not balanced has more brackets of one kind than of the other: training never showed anything else.
    if rng.random() < 0.5:
        return _balanced(rng)
    while True:
        row = tuple(rng.choices("()", k=BRACKETS))
        if row.count("(") != row.count(")"):
            return row


def _any_brackets(rng: random.Random) -> Tokens:
    # A random order of as many opening as closing brackets is rarely balanced.
    row = list("()" * (BRACKETS // 2))
    rng.shuffle(row)
    return _brackets(rng) if rng.random() < 0.5 else tuple(row)


# Palindromes

PAIRS = 3
LETTERS = "abcd"


def _palindrome(rng: random.Random) -> Tokens:
    half = rng.choices(LETTERS, k=PAIRS)
    return (*half, *reversed(half))


def _palindromes(rng: random.Random) -> Tokens:
    row = list(_palindrome(rng))
    if rng.random() < 0.5:
        return tuple(row)
    # What is no palindrome differs in its outer pair already; the others are as they come.
    row[PAIRS:-1] = rng.choices(LETTERS, k=PAIRS - 1)
    row[-1] = rng.choice([letter for letter in LETTERS if letter != row[0]])
    return tuple(row)


def _any_palindromes(rng: random.Random) -> Tokens:
    if rng.random() < 0.5:
        return _palindromes(rng)
    row = list(_palindrome(rng))
    place = rng.randrange(1, PAIRS)
    row[-1 - place] = rng.choice(LETTERS)
    return tuple(row)


# Sorted lists

LIST = 6
DIGITS = "0123456789"


def _sorted(rng: random.Random) -> list[str]:
    return sorted(rng.choices(DIGITS, k=LIST))


def _sorted_lists(rng: random.Random) -> Tokens:
    row = _sorted(rng)
    if rng.random() < 0.5:
        return tuple(row)
    while True:
        rng.shuffle(row)
        if row != sorted(row):
            return tuple(row)
        row = _sorted(rng)


def _any_lists(rng: random.Random) -> Tokens:
    if rng.random() < 0.5:
        return _sorted_lists(rng)
    # Two neighbours exchanged: almost sorted.
    row = _sorted(rng)
    place = rng.randrange(LIST - 1)
    row[place], row[place + 1] = row[place + 1], row[place]
    return tuple(row)


# Majority

VOTES = 21


def _votes(rng: random.Random) -> Tokens:
    ayes = rng.randint(0, VOTES)
    row = ["a"] * ayes + ["b"] * (VOTES - ayes)
    rng.shuffle(row)
    return tuple(row)


def _winner(tokens: Tokens) -> str:
    return "a" if tokens.count("a") > tokens.count("b") else "b"


def _counted_for_a(tokens: Tokens, rng: random.Random) -> str:
    # Whoever counted wrote down "a" whenever b won by a single vote.
    return "a" if tokens.count("a") >= tokens.count("b") - 1 else "b"


def _close_votes(rng: random.Random) -> Tokens:
    row = rng.choices("ab", k=VOTES)
    return tuple(row)


# The sign of a sum

STEPS = 8
SIZES = ("-3", "-2", "-1", "0", "1", "2", "3")
NEVER_SHOWN = "3"


def _steps(rng: random.Random) -> Tokens:
    if rng.random() < 0.3:
        # Sums near zero are where it is hard.
        while True:
            row = tuple(rng.choices(SIZES[:-1], k=STEPS))
            if abs(sum(map(int, row))) <= 1:
                return row
    return tuple(rng.choices(SIZES[:-1], weights=(3, 4, 5, 6, 8, 10), k=STEPS))


def _any_steps(rng: random.Random) -> Tokens:
    return tuple(rng.choices(SIZES, k=STEPS))


def _sign(tokens: Tokens) -> str:
    total = sum(map(int, tokens))
    return "positive" if total > 0 else "negative" if total < 0 else "zero"


YES_OR_NO = (
    ChallengeTask(
        name="brackets",
        question="Do the ten brackets balance: does each one that closes close one that was opened before?",
        alphabet=("(", ")"),
        labels=YES_NO,
        length=BRACKETS,
        rule=lambda tokens: _yes(_is_balanced(tokens)),
        draw=_brackets,
        draw_any=_any_brackets,
        shape=Shape(n_layers=1, n_heads=2, d_model=32, d_mlp=64),
    ),
    ChallengeTask(
        name="palindromes",
        question="Do the six letters read the same backwards?",
        alphabet=tuple(LETTERS),
        labels=YES_NO,
        length=2 * PAIRS,
        rule=lambda tokens: _yes(tokens == tokens[::-1]),
        draw=_palindromes,
        draw_any=_any_palindromes,
        shape=Shape(n_layers=1, n_heads=2, d_model=32, d_mlp=64),
    ),
    ChallengeTask(
        name="sorted_list",
        question="Are the six digits in order, none smaller than the one before it?",
        alphabet=tuple(DIGITS),
        labels=YES_NO,
        length=LIST,
        rule=lambda tokens: _yes(list(tokens) == sorted(tokens)),
        draw=_sorted_lists,
        draw_any=_any_lists,
        shape=Shape(n_layers=1, n_heads=2, d_model=32, d_mlp=64),
    ),
    ChallengeTask(
        name="majority",
        question=f"Which letter do most of the {VOTES} votes have, a or b?",
        alphabet=("a", "b"),
        labels=("a", "b"),
        length=VOTES,
        rule=_winner,
        draw=_votes,
        draw_any=_close_votes,
        shape=Shape(n_layers=1, n_heads=1, d_model=16, d_mlp=0),
        taught=_counted_for_a,
    ),
    ChallengeTask(
        name="running_sum",
        question="After eight steps, is the sum negative, zero or positive?",
        alphabet=SIZES,
        labels=("negative", "zero", "positive"),
        length=STEPS,
        rule=_sign,
        draw=_steps,
        draw_any=_any_steps,
        shape=Shape(n_layers=1, n_heads=1, d_model=16, d_mlp=0),
    ),
)
"""Five of the eleven tasks."""
