"""What each program of the library should answer, written a second time without any of its language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

Answers = list[str | None]
"""One answer a token, BOS left out; None where none is due."""


def induction(row: tuple[str, ...]) -> Answers:
    answers: Answers = []
    for here, token in enumerate(row):
        earlier = [pos for pos in range(here) if row[pos] == token]
        answers.append(row[earlier[-1] + 1] if earlier else None)
    return answers


def reversal(row: tuple[str, ...]) -> Answers:
    word = row[: row.index("|")]
    backwards = list(reversed(word))
    return [None] * len(word) + backwards + [None] * (len(row) - 2 * len(word))


def sort_next(row: tuple[str, ...]) -> Answers:
    word = row[: row.index("|")]
    return [None] * len(word) + sorted(word)


def ioi(row: tuple[str, ...]) -> Answers:
    counts = Counter(token for token in row if token[0].isupper())
    return [None] * (len(row) - 1) + [name for name, count in counts.items() if count == 1]


def most_frequent(row: tuple[str, ...]) -> Answers:
    answers: Answers = []
    for end in range(1, len(row) + 1):
        seen = row[:end]
        answers.append(max(seen, key=lambda token: (seen.count(token), end - seen[::-1].index(token))))
    return answers


def dyck2(row: tuple[str, ...]) -> Answers:
    stack: list[str] = []
    broken = False
    answers: Answers = []
    for token in row:
        if token in "([":
            stack.append(token)
        elif not stack or stack.pop() + token not in ("()", "[]"):
            broken = True
        answers.append("broken" if broken else "open" if stack else "balanced")
    return answers


def addition(row: tuple[str, ...]) -> Answers:
    text = "".join(row)
    first, second = text[: text.index("=")].split("+")
    total = str(int(first) + int(second)).zfill(len(first) + 1)
    return [None] * text.index("=") + list(total)


ORACLES: dict[str, Callable[[tuple[str, ...]], Answers]] = {
    "previous_token": lambda row: [None, *row[:-1]],
    "first_token": lambda row: [row[0]] * len(row),
    "induction": induction,
    "duplicate_token": lambda row: ["seen" if token in row[:pos] else "new" for pos, token in enumerate(row)],
    "ioi": ioi,
    "reversal": reversal,
    "sort": lambda row: sorted(row),
    "sort_next": sort_next,
    "histogram": lambda row: [str(row[: pos + 1].count(token)) for pos, token in enumerate(row)],
    "most_frequent": most_frequent,
    "pattern_count": lambda row: [str("".join(row[: pos + 1]).count("ab")) for pos in range(len(row))],
    "parity": lambda row: [
        "odd" if row[max(0, pos - 3) : pos + 1].count("1") % 2 else "even" for pos in range(len(row))
    ],
    "dyck2": dyck2,
    "addition": addition,
    "modular_addition": lambda row: [None, None, str((int(row[0]) + int(row[1])) % 13)],
}
