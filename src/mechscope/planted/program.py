"""Programs of the RASP family: what a planted model is told to compute, as expressions over a sequence.

An expression has one value a position. The leaves are `tokens`, `positions` (1 for the first token after BOS)
and `constant`; `select` says which positions look where, `aggregate` brings what is found there, `selector_width`
counts it, `elementwise` computes at each position by itself. A value of None means "nothing was found".
Source: Weiss et al. 2021 (RASP, the language); Lindner et al. 2023 (Tracr, that it compiles to a transformer).

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
"""A token, a number, a pair of them: what an expression has at one position; None where nothing was found."""
Predicate = Callable[..., bool]
"""From a key's value and a query's value to whether the query selects the key."""


@dataclass(frozen=True, eq=False)
class Expression:
    """One value a position. Two expressions are the same only if they are one object, and are then computed once."""


@dataclass(frozen=True, eq=False)
class Tokens(Expression):
    """The token that stands at the position."""


@dataclass(frozen=True, eq=False)
class Positions(Expression):
    """Which position it is: 1 for the first token after BOS."""


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """The same value everywhere."""

    value: Value


@dataclass(frozen=True, eq=False)
class Elementwise(Expression):
    """A function of the values of other expressions at the same position: an MLP, or merely a way of reading."""

    function: Callable[..., Value]
    """From one value an input to a value."""
    inputs: tuple[Expression, ...]
    note: str = ""
    """What it is, in words."""
    sees_none: bool = False
    """Call the function also where an input is None; otherwise None in gives None out."""
    possible: Callable[..., bool] | None = None
    """Which values can occur together (spares neurons); None means that all can."""


@dataclass(frozen=True, eq=False)
class Atom:
    """One condition of a selector: a predicate of one expression at the key and one at the query."""

    key: Expression
    query: Expression
    predicate: Predicate


@dataclass(frozen=True, eq=False)
class Selector:
    """Which keys each query selects: those for which every condition holds. Combine two with `&`."""

    atoms: tuple[Atom, ...]
    prefer: tuple[Expression, ...] = ()
    """Of the keys selected, only those with the greatest value of the first of these count, then of the second …"""

    def __and__(self, other: Selector) -> Selector:
        return Selector(self.atoms + other.atoms, self.prefer + other.prefer)


@dataclass(frozen=True, eq=False)
class Aggregate(Expression):
    """What stands at the selected positions: an attention head."""

    selector: Selector
    values: Expression
    note: str = ""
    numerical: bool = False
    """The mean of the selected values (0 where none is), not the one value that they share."""
    encode: Callable[[Any], tuple[float, ...]] | None = None
    """The direction in which a value is written; None gives each a dimension of its own."""


@dataclass(frozen=True, eq=False)
class SelectorWidth(Expression):
    """How many positions are selected: a head that also attends to BOS, and an MLP that counts from BOS's share."""

    selector: Selector
    note: str = ""


@dataclass(frozen=True, eq=False)
class CircleSum(Expression):
    """The sum of two residues modulo `modulus`, both written as points on circles, by multiplication of angles.

    cos(w(a+b)) and sin(w(a+b)) come from squares of sums of cosines and sines, and each square from ReLUs.
    Source: Nanda et al. 2023 ("Progress measures for grokking"), the algorithm; Zhong et al. 2023, its name, "clock".
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
    """The positions whose key fits the query: `predicate(key, query)`; False wherever one of them is None.

    Args:
        prefer: of several selected, keep only those where this is greatest (`prefer=positions`: the latest).
    """
    return Selector(
        (Atom(keys, queries, predicate),), (prefer,) if isinstance(prefer, Expression) else prefer
    )


@checked_arguments
def select_where(keys: Expression, predicate: Callable[..., bool]) -> Selector:
    """The positions where a predicate of the key alone holds, whatever the query."""
    return select(keys, constant(1), lambda key, query: predicate(key))


@checked_arguments
def aggregate(
    selector: Selector,
    values: Expression,
    note: str = "",
    encode: Callable[[Any], tuple[float, ...]] | None = None,
) -> Aggregate:
    """The value at the selected positions, which must agree; None where none is selected."""
    return Aggregate(selector, values, note, encode=encode)


@checked_arguments
def mean(selector: Selector, values: Expression, note: str = "") -> Aggregate:
    """The mean of numbers over the selected positions; 0 where none is selected."""
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
    """A function at each position by itself.

    Raises:
        ValueError: without an input.
    """
    if not inputs:
        raise ValueError("elementwise needs at least one input expression; use constant(value) for none.")
    return Elementwise(function, inputs, note, sees_none, possible)


@dataclass(frozen=True)
class Program:
    """An expression with the inputs that it is meant for."""

    name: str
    description: str
    """Precisely what it computes, for a reader."""
    output: Expression
    """The token to predict at each position (a token's string), None for no prediction."""
    alphabet: tuple[str, ...]
    """Tokens that may stand in the input."""
    length: int
    """Tokens of an input, BOS not counted."""
    draw: Callable[[random.Random], tuple[str, ...]]
    """One random input."""
    every: Callable[[], Iterable[tuple[str, ...]]] | None = None
    """All inputs, where they can be counted."""
    answers_at: Callable[[tuple[str, ...]], Iterable[int]] | None = None
    """At which positions an input has an answer; None means wherever the output is not None."""
    causal: bool = True
    """Whether a position sees only itself and earlier ones."""
    encode_tokens: Callable[[str], tuple[float, ...]] | None = None
    """The embedding of a token; None gives each a dimension of its own."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"{self.name}: length must be at least 1, not {self.length}.")
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError(
                f"{self.name}: the alphabet must have different tokens, not {list(self.alphabet)}."
            )
