"""Well-formed brackets of two kinds."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

from mechscope.planted.program import (
    Program,
    aggregate,
    constant,
    elementwise,
    equal,
    mean,
    positions,
    select,
    select_where,
    tokens,
)

OPENER = {")": "(", "]": "["}


def dyck2(length: int = 6) -> Program:
    """Whether the brackets so far are balanced, open or broken. Weiss et al. 2021, the task (Dyck-2).

    Depth is the mean of +1 and -1 times the number of tokens. A closing bracket matches the latest opening one that
    raised the depth to the level that the closing one leaves; if that one is of the other kind or missing, the text
    is broken from there on.
    """
    alphabet = ("(", ")", "[", "]")
    opens = elementwise(lambda token: 1 if token in "([" else -1, tokens)
    mean_step = mean(select_where(positions, lambda key: True), opens, "mean of opened and closed")

    def whole(mean: Fraction, here: int, *rest: object) -> bool:
        return (mean * here).denominator == 1 and abs(mean) <= 1 and (mean * here - here) % 2 == 0

    depth = elementwise(
        lambda mean, here: int(mean * here), mean_step, positions, note="depth", possible=whole
    )
    level = elementwise(
        lambda mean, here, step: int(mean * here) + (step < 0),
        mean_step,
        positions,
        opens,
        note="level of the bracket",
        possible=whole,
    )
    open_at_level = select(level, level, equal, prefer=positions) & select_where(
        tokens, lambda token: token in "(["
    )
    opener = aggregate(open_at_level, tokens, "bracket that this one closes")
    wrong = elementwise(
        lambda token, opener: "wrong" if token in OPENER and opener != OPENER[token] else None,
        tokens,
        opener,
        note="closes what it must not",
        sees_none=True,
    )
    any_wrong = aggregate(
        select_where(wrong, lambda mark: mark == "wrong"), constant("broken"), "anything wrong so far"
    )
    output = elementwise(
        lambda broken, depth: broken or ("balanced" if depth == 0 else "open"),
        any_wrong,
        depth,
        note="verdict",
        sees_none=True,
    )

    def draw(rng: random.Random) -> tuple[str, ...]:
        # Mostly well-formed, so that all three answers are frequent at every position.
        carelessness = rng.choice((0.0, 0.1, 0.4))
        stack: list[str] = []
        text: list[str] = []
        while len(text) < length:
            if rng.random() < carelessness:
                token = rng.choice(alphabet)
            elif stack and rng.random() < 0.55:
                token = ")" if stack[-1] == "(" else "]"
            else:
                token = rng.choice("([")
            if token in OPENER:
                if stack:
                    stack.pop()
            else:
                stack.append(token)
            text.append(token)
        return tuple(text)

    return Program(
        name="dyck2",
        description=(
            "Brackets () and []. At every position: 'broken' if some bracket so far closes nothing or a bracket of the "
            "other kind, else 'balanced' if none is open, else 'open'."
        ),
        output=output,
        alphabet=alphabet,
        length=length,
        draw=draw,
        every=lambda: itertools.product(alphabet, repeat=length),
    )
