"""Translate expressions to heads and maps.

A function of one variable becomes a way of reading it and costs nothing; a function of several variables, or of a
number, becomes neurons; every aggregate becomes a head; a selector width becomes a head and neurons.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import torch

from mechscope.planted._evaluating import call
from mechscope.planted._neurons import circle_neurons, combinations, lookup_neurons
from mechscope.planted._plan import (
    ONE,
    AtomPlan,
    HeadPlan,
    MapPlan,
    Plan,
    Reading,
    Variable,
    encoding_of,
    one_hot,
)
from mechscope.planted.circles import Circles
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

MOST_MEANS = 500
"""The largest number of different means that a numerical aggregate may have."""


def lower(program: Program) -> Plan:
    """The heads and maps of a program, in dependency order.

    Raises:
        ValueError: for a program that cannot be expressed by heads and neurons here; says what to do instead.
    """
    lowering = _Lowering(program)
    output, none_answer = lowering.output()
    return Plan(lowering.tokens, lowering.positions, lowering.one, tuple(lowering.parts), output, none_answer)


class _Lowering:
    def __init__(self, program: Program) -> None:
        self.program = program
        alphabet = program.alphabet
        places = tuple(range(1, program.length + 1))
        self.tokens = Variable("token", alphabet, encoding_of(alphabet, program.encode_tokens))
        self.positions = Variable("position", places, one_hot(places), varies=False)
        self.one = Variable(ONE, (1,), one_hot((1,)), varies=False)
        self.parts: list[HeadPlan | MapPlan] = []
        self._known: dict[Expression, Reading] = {}

    def output(self) -> tuple[Reading, Value]:
        """How to read the output, and the answer where it is None, which the unembedding's bias provides."""
        expression = self.program.output
        if isinstance(expression, Elementwise) and expression.sees_none and len(expression.inputs) == 1:
            inner = self.read(expression.inputs[0])
            if not inner.variable.numerical:
                return inner.through(expression.function), expression.function(None)
        reading = self.read(expression)
        if reading.variable.numerical:
            raise ValueError(
                f"{self.program.name}: the output is a number; map it to tokens with elementwise."
            )
        return reading, None

    def read(self, expression: Expression) -> Reading:
        """How to read an expression; the components that compute it are planned on first use."""
        if expression not in self._known:
            self._known[expression] = self._lower(expression)
        return self._known[expression]

    def _lower(self, expression: Expression) -> Reading:
        match expression:
            case Tokens():
                return Reading(self.tokens, self.tokens.values)
            case Positions():
                return Reading(self.positions, self.positions.values)
            case Constant(value):
                return Reading(self.one, (value,))
            case Elementwise():
                return self._elementwise(expression)
            case Aggregate():
                return self._aggregate(expression)
            case SelectorWidth():
                return self._width(expression)
            case CircleSum():
                return self._circle_sum(expression)
            case _:
                raise TypeError(f"{type(expression).__name__} is not an expression that can be compiled.")

    def _elementwise(self, expression: Elementwise) -> Reading:
        inputs = [self.read(part) for part in expression.inputs]
        only = inputs[0]
        hears_none = expression.sees_none and only.may_be_none
        if len(inputs) == 1 and not only.variable.numerical and not hears_none:
            return self._plain(only.through(expression.function))
        combos = combinations(inputs, expression.sees_none, expression.possible)
        table = {combo: call(expression, combo) for combo in combos}
        values = _in_order(value for value in table.values() if value is not None)
        blank = None in table.values() or any(reading.may_be_none for reading in inputs)
        output = Variable(
            expression.note or "map",
            values,
            one_hot(values),
            may_be_none=blank,
            varies=any(reading.variable.varies for reading in inputs),
        )
        return self._add_map(output, inputs, table, expression.note)

    def _add_map(
        self, output: Variable, inputs: list[Reading], table: dict[tuple[Value, ...], Value], note: str
    ) -> Reading:
        neurons = lookup_neurons(inputs, table, output, self.one)
        self.parts.append(MapPlan(output, tuple(inputs), neurons, note))
        return Reading(output, output.values)

    def _plain(self, reading: Reading) -> Reading:
        """Turn a reading that does not depend on the variable's value into a constant."""
        if not reading.may_be_none and len(reading.classes) == 1:
            return Reading(self.one, reading.classes)
        return reading

    def _selector(self, selector: Selector) -> tuple[tuple[AtomPlan, ...], tuple[Reading, ...]]:
        plans: list[AtomPlan] = []
        for atom in selector.atoms:
            key, query = self.read(atom.key), self.read(atom.query)
            for reading in (key, query):
                if reading.variable.numerical:
                    raise ValueError(
                        f"{reading.variable.name!r} is a number and cannot be a key or a query; turn it into values "
                        "with elementwise first."
                    )
            selects = [
                float(None not in (one, other) and bool(atom.predicate(other, one)))
                for one in query.values
                for other in key.values
            ]
            table = torch.tensor(selects, dtype=torch.float64).reshape(len(query.values), len(key.values))
            plans.append(AtomPlan(key, query, table))
        return tuple(plans), tuple(self.read(expression) for expression in selector.prefer)

    def _aggregate(self, expression: Aggregate) -> Reading:
        atoms, prefer = self._selector(expression.selector)
        value = self.read(expression.values)
        if expression.numerical:
            values: tuple[Value, ...] = _means(value, self.program.length)
            encoding = self._lengths(values)
            targets = self._lengths(value.values)
        else:
            if value.variable.numerical:
                raise ValueError(f"{value.variable.name!r} is a number; use mean(...) to aggregate it.")
            values = value.classes
            encoding = encoding_of(values, expression.encode)
            targets = value.indicator(values) @ encoding
        return self._add_head(
            expression.note or "aggregate", values, encoding, atoms, prefer, value, targets, expression
        )

    def _add_head(
        self,
        name: str,
        values: tuple[Value, ...],
        encoding: torch.Tensor,
        atoms: tuple[AtomPlan, ...],
        prefer: tuple[Reading, ...],
        value: Reading,
        targets: torch.Tensor,
        expression: Aggregate | SelectorWidth,
    ) -> Reading:
        counts = isinstance(expression, SelectorWidth)
        numerical = counts or expression.numerical
        deciding = [reading for atom in atoms for reading in (atom.key, atom.query)] + [*prefer, value]
        varies = any(reading.variable.varies for reading in deciding)
        output = Variable(name, values, encoding, numerical, not numerical, varies)
        self.parts.append(HeadPlan(output, atoms, prefer, value, targets, counts, expression.note))
        return Reading(output, values)

    def _lengths(self, numbers: tuple[Value, ...]) -> torch.Tensor:
        """The encoding of numbers [value, 1], scaled by the input's length to separate fractions of it well."""
        scaled = [self.program.length * float(cast("Fraction", number or 0)) for number in numbers]
        return torch.tensor(scaled, dtype=torch.float64)[:, None]

    def _width(self, expression: SelectorWidth) -> Reading:
        if expression.selector.prefer:
            raise ValueError("selector_width needs a selector without `prefer`.")
        atoms, _ = self._selector(expression.selector)
        note = expression.note or "width"
        shares = tuple(Fraction(1, width + 1) for width in range(self.program.length, -1, -1))
        encoding = self._lengths(shares)
        nothing = torch.zeros(1, 1, dtype=torch.float64)
        share = self._add_head(
            f"{note}: BOS's share",
            shares,
            encoding,
            atoms,
            (),
            Reading(self.one, (1,)),
            nothing,
            expression,
        )
        counts = tuple(range(self.program.length + 1))
        table: dict[tuple[Value, ...], Value] = {(Fraction(1, width + 1),): width for width in counts}
        output = Variable(note, counts, one_hot(counts), varies=share.variable.varies)
        return self._add_map(output, [share], table, f"{note}: from BOS's share to the number")

    def _circle_sum(self, expression: CircleSum) -> Reading:
        first, second = self.read(expression.first), self.read(expression.second)
        circle = Circles(expression.modulus, expression.frequencies)
        residues = tuple(range(expression.modulus))
        for reading in (first, second):
            fits = reading.variable.width == 2 * len(expression.frequencies) and all(
                torch.allclose(torch.tensor(circle(value), dtype=torch.float64), direction)
                for value, direction in zip(reading.variable.values, reading.variable.encoding, strict=True)
            )
            if not fits or reading.values != reading.variable.values:
                raise ValueError(
                    f"{reading.variable.name!r} is not encoded on circles of modulus {expression.modulus} and "
                    f"frequencies {expression.frequencies}; aggregate it with encode=Circles(modulus, frequencies)."
                )
        encoding = encoding_of(residues, circle)
        output = Variable(expression.note or "sum", residues, encoding, may_be_none=True)
        neurons = circle_neurons(first, second, len(expression.frequencies), self.one)
        self.parts.append(MapPlan(output, (first, second), neurons, expression.note))
        return Reading(output, residues)


def _means(value: Reading, length: int) -> tuple[Fraction, ...]:
    """Every possible mean of up to `length` values, in ascending order.

    Raises:
        ValueError: if a value is not a number, or there are too many means.
    """
    numbers: set[Fraction] = {Fraction(0)} if value.may_be_none else set()
    for one in value.values:
        if one is not None and not isinstance(one, (int, float, Fraction)):
            raise ValueError(f"mean needs numbers, but {value.variable.name!r} can have the value {one!r}.")
        numbers.add(Fraction(one or 0))
    means, sums = {Fraction(0)}, {Fraction(0)}
    for count in range(1, length + 1):
        sums = {total + number for total in sums for number in numbers}
        means |= {total / count for total in sums}
        if len(means) > MOST_MEANS:
            raise ValueError(
                f"the mean of {value.variable.name!r} over up to {length} positions can take more than {MOST_MEANS} "
                "values; use fewer different numbers, or a shorter input."
            )
    return tuple(sorted(means))


def _in_order(values: object) -> tuple[Value, ...]:
    """The distinct values, sorted if they can be compared."""
    different = list(dict.fromkeys(cast("list[Value]", values)))
    try:
        return tuple(sorted(different))  # type: ignore[type-var]
    except TypeError:
        return tuple(different)
