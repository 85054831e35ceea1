"""Evaluate a program in plain Python: the reference for checking a compiled model.

Numbers are exact fractions. Where an aggregate selects values that disagree, it has no single value: the
position is UNDEFINED, and so is everything that depends on it. That is allowed if no answer is expected there.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

from mechscope.planted.program import (
    Aggregate,
    CircleSum,
    Constant,
    Elementwise,
    Expression,
    Positions,
    Program,
    Selector,
    SelectorWidth,
    Tokens,
    Value,
)


class _Undefined:
    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED = _Undefined()
"""The value of an aggregate whose selected values disagree."""


class Evaluation:
    """The values of expressions on one input, each computed once.

    >>> from mechscope.planted.program import aggregate, positions, select, tokens
    >>> before = aggregate(select(positions, positions, lambda key, query: key == query - 1), tokens)
    >>> Evaluation(("a", "b", "c"))(before)
    [None, 'a', 'b']
    """

    def __init__(self, row: Sequence[str], causal: bool = True) -> None:
        self.row = tuple(row)
        self.causal = causal
        self._known: dict[Expression, list[Value]] = {}

    def __call__(self, expression: Expression) -> list[Value]:
        """One value per position of the input, not counting BOS."""
        if expression not in self._known:
            self._known[expression] = self._compute(expression)
        return self._known[expression]

    def _compute(self, expression: Expression) -> list[Value]:
        match expression:
            case Tokens():
                return list(self.row)
            case Positions():
                return list(range(1, len(self.row) + 1))
            case Constant(value):
                return [value] * len(self.row)
            case Elementwise():
                columns = zip(*(self(part) for part in expression.inputs), strict=True)
                return [_apply(expression, values) for values in columns]
            case Aggregate():
                values = self(expression.values)
                combine = _mean if expression.numerical else _shared
                return [
                    UNDEFINED if chosen is None else combine([values[key] for key in chosen])
                    for chosen in self._selected(expression.selector)
                ]
            case SelectorWidth():
                return [
                    UNDEFINED if chosen is None else len(chosen)
                    for chosen in self._selected(expression.selector)
                ]
            case CircleSum():
                pairs = zip(self(expression.first), self(expression.second), strict=True)
                return [_residue(first, second, expression.modulus) for first, second in pairs]
            case _:
                raise TypeError(f"{type(expression).__name__} is not an expression that can be evaluated.")

    def _selected(self, selector: Selector) -> list[list[int] | None]:
        """The selected keys of each query; None if the selection depends on an undefined value."""
        columns = [(self(atom.key), self(atom.query), atom.predicate) for atom in selector.atoms]
        preferred = [self(expression) for expression in selector.prefer]
        found: list[list[int] | None] = []
        for query in range(len(self.row)):
            chosen: list[int] | None = []
            for key in range(query + 1 if self.causal else len(self.row)):
                verdicts = [_holds(keys[key], queries[query], test) for keys, queries, test in columns]
                if False in verdicts:
                    continue
                if None in verdicts or any(column[key] is UNDEFINED for column in preferred):
                    chosen = None
                    break
                assert chosen is not None
                chosen.append(key)
            if chosen and preferred:
                best = max(tuple(_rankable(column[key]) for column in preferred) for key in chosen)
                chosen = [
                    key for key in chosen if tuple(_rankable(column[key]) for column in preferred) == best
                ]
            found.append(chosen)
        return found


def evaluate(program: Program, row: Sequence[str]) -> list[str | None]:
    """The answer at every position, starting with BOS; None where it has no answer.

    Raises:
        ValueError: if the input has the wrong length, or an expected answer is not determined.
    """
    if len(row) != program.length:
        raise ValueError(
            f"{program.name} takes {program.length} tokens (not counting BOS); this input has {len(row)}."
        )
    output: list[Value] = [None, *Evaluation(row, program.causal)(program.output)]
    due = set(range(len(output)) if program.answers_at is None else program.answers_at(tuple(row)))
    if program.answers_at is not None and any(output[pos] is UNDEFINED for pos in due):
        raise ValueError(f"{program.name} has no determined answer for {' '.join(row)}.")
    return [
        None if pos not in due or value is None or value is UNDEFINED else str(value)
        for pos, value in enumerate(output)
    ]


def call(expression: Elementwise, values: Sequence[Value]) -> Value:
    """The function of an elementwise expression, with its rule for None."""
    if not expression.sees_none and any(value is None for value in values):
        return None
    return expression.function(*values)


def _apply(expression: Elementwise, values: Sequence[Value]) -> Value:
    if any(value is UNDEFINED for value in values):
        return UNDEFINED
    known = all(value is not None for value in values)
    if known and expression.possible is not None and not expression.possible(*values):
        raise ValueError(
            f"{expression.note or 'an elementwise map'} declared that its inputs are never {tuple(values)}."
        )
    return call(expression, values)


def _holds(key: Value, query: Value, predicate: object) -> bool | None:
    """Whether a condition holds; None if undefined."""
    if key is None or query is None:
        return False
    if key is UNDEFINED or query is UNDEFINED:
        return None
    return bool(predicate(key, query))  # type: ignore[operator]


def _rankable(value: Value) -> float:
    return float("-inf") if value is None else float(cast("float", value))


def _mean(values: list[Value]) -> Value:
    if any(value is UNDEFINED for value in values):
        return UNDEFINED
    if not values:
        return Fraction(0)
    total = sum((Fraction(0 if value is None else value) for value in values), Fraction(0))  # type: ignore[arg-type]
    return total / len(values)


def _shared(values: list[Value]) -> Value:
    if not values:
        return None
    return values[0] if all(value == values[0] for value in values) else UNDEFINED


def _residue(first: Value, second: Value, modulus: int) -> Value:
    if first is UNDEFINED or second is UNDEFINED:
        return UNDEFINED
    if first is None or second is None:
        return UNDEFINED
    return (cast("int", first) + cast("int", second)) % modulus
