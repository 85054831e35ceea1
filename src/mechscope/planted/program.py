"""RASP-like programs: what a planted model should compute, as expressions over a sequence.

An expression has one value per position. The leaves are `tokens`, `positions` (1 for the first token after BOS) and
`constant`; `select` chooses which positions attend where, `aggregate` copies the values found there,
`selector_width` counts them, and `elementwise` computes at each position separately. None means "nothing was found".
Source: Weiss et al. 2021 (RASP, the language); Lindner et al. 2023 (Tracr, which compiles it to transformers).

    >>> before = aggregate(select(positions, positions, lambda key, query: key == query - 1), tokens, "token before")
    >>> induction = aggregate(select(before, tokens, equal, prefer=positions), tokens, "induction")
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from mechscope.arguments import checked_arguments

Value = Hashable
"""The value of an expression at one position: a token, a number or a pair; None if nothing was found."""
Predicate = Callable[..., bool]
"""Given a key's value and a query's value, whether the query selects the key."""


@dataclass(frozen=True, eq=False)
class Expression:
    """One value per position. Expressions are compared by identity, and each object is computed only once."""


@dataclass(frozen=True, eq=False)
class Tokens(Expression):
    """The token at the position."""


@dataclass(frozen=True, eq=False)
class Positions(Expression):
    """The position: 1 for the first token after BOS."""


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """The same value everywhere."""

    value: Value


@dataclass(frozen=True, eq=False)
class Elementwise(Expression):
    """A function of other expressions at the same position: an MLP, or only a way of reading."""

    function: Callable[..., Value]
    """Maps one value per input to the output value."""
    inputs: tuple[Expression, ...]
    note: str = ""
    """A description of it."""
    sees_none: bool = False
    """Also call the function if an input is None; otherwise a None input gives None."""
    possible: Callable[..., bool] | None = None
    """Which combinations of values can occur (saves neurons); None means all of them."""


@dataclass(frozen=True, eq=False)
class Atom:
    """One condition of a selector: a predicate of a key expression and a query expression."""

    key: Expression
    query: Expression
    predicate: Predicate


@dataclass(frozen=True, eq=False)
class Selector:
    """Which keys each query selects: those that satisfy every condition. Combine two selectors with `&`."""

    atoms: tuple[Atom, ...]
    prefer: tuple[Expression, ...] = ()
    """Tie-breakers: keep only the selected keys with the greatest value of the first of these, then of the second …"""

    def __and__(self, other: Selector) -> Selector:
        return Selector(self.atoms + other.atoms, self.prefer + other.prefer)


@dataclass(frozen=True, eq=False)
class Aggregate(Expression):
    """The value at the selected positions: an attention head."""

    selector: Selector
    values: Expression
    note: str = ""
    numerical: bool = False
    """Take the mean of the selected values (0 if none is selected), instead of their common value."""
    encode: Callable[[Any], tuple[float, ...]] | None = None
    """The direction in which each value is written; None gives every value its own dimension."""


@dataclass(frozen=True, eq=False)
class SelectorWidth(Expression):
    """How many positions are selected: a head that also attends to BOS, and an MLP that infers the count from that."""

    selector: Selector
    note: str = ""


@dataclass(frozen=True, eq=False)
class CircleSum(Expression):
    """The sum of two residues modulo `modulus`, both encoded as points on circles, computed by adding angles.

    cos(w(a+b)) and sin(w(a+b)) are sums of squares of sums of cosines and sines; ReLUs approximate each square.
    Source: Nanda et al. 2023 ("Progress measures for grokking"; the algorithm); Zhong et al. 2023 (its name, "clock").
    """

    first: Expression
    second: Expression
    modulus: int
    frequencies: tuple[int, ...]
    note: str = ""


tokens = Tokens()
"""The token at each position."""
positions = Positions()
"""The position itself, from 1."""
equal = operator.eq
"""Key equals query."""


@checked_arguments
def constant(value: Value) -> Constant:
    """The same value everywhere."""
    return Constant(value)


@checked_arguments
def select(
    keys: Expression,
    queries: Expression,
    predicate: Predicate,
    prefer: Expression | tuple[Expression, ...] = (),
) -> Selector:
    """Select the positions where `predicate(key, query)` is true; it is False wherever one of them is None.

    Args:
        prefer: if several are selected, keep only those where this is greatest (`prefer=positions`: the latest).
    """
    return Selector(
        (Atom(keys, queries, predicate),), (prefer,) if isinstance(prefer, Expression) else prefer
    )


@checked_arguments
def select_where(keys: Expression, predicate: Callable[..., bool]) -> Selector:
    """Select the positions where a predicate of the key holds, whatever the query."""
    return select(keys, constant(1), lambda key, query: predicate(key))


@checked_arguments
def aggregate(
    selector: Selector,
    values: Expression,
    note: str = "",
    encode: Callable[[Any], tuple[float, ...]] | None = None,
) -> Aggregate:
    """The value at the selected positions, which must all agree; None if none is selected."""
    return Aggregate(selector, values, note, encode=encode)


@checked_arguments
def mean(selector: Selector, values: Expression, note: str = "") -> Aggregate:
    """The mean of numbers over the selected positions; 0 if none is selected."""
    return Aggregate(selector, values, note, numerical=True)


@checked_arguments
def selector_width(selector: Selector, note: str = "") -> SelectorWidth:
    """How many positions are selected."""
    return SelectorWidth(selector, note)


@checked_arguments
def elementwise(
    function: Callable[..., Value],
    *inputs: Expression,
    note: str = "",
    sees_none: bool = False,
    possible: Callable[..., bool] | None = None,
) -> Elementwise:
    """Apply a function at each position separately.

    Raises:
        ValueError: without an input.
    """
    if not inputs:
        raise ValueError("elementwise needs at least one input expression; use constant(value) for none.")
    return Elementwise(function, inputs, note, sees_none, possible)


@dataclass(frozen=True)
class Program:
    """An expression together with its inputs."""

    name: str
    description: str
    """A precise description of what it computes."""
    output: Expression
    """The token to predict at each position (as a string), or None for no prediction."""
    alphabet: tuple[str, ...]
    """Tokens that may occur in the input."""
    length: int
    """Number of tokens in an input, not counting BOS."""
    draw: Callable[[random.Random], tuple[str, ...]]
    """Draws one random input."""
    every: Callable[[], Iterable[tuple[str, ...]]] | None = None
    """All inputs, if they can be enumerated."""
    answers_at: Callable[[tuple[str, ...]], Iterable[int]] | None = None
    """The positions where an input has an answer; None means wherever the output is not None."""
    causal: bool = True
    """Whether a position attends only to itself and earlier ones."""
    encode_tokens: Callable[[str], tuple[float, ...]] | None = None
    """The embedding of a token; None gives every token its own dimension."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"{self.name}: length must be at least 1, not {self.length}.")
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError(
                f"{self.name}: the tokens of the alphabet must differ, not {list(self.alphabet)}."
            )
