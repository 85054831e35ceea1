"""What stands between a program and its weights: variables, ways of reading them, heads and neurons, without places.

A variable is a piece of the residual stream that one component writes: a direction a value, or one direction
whose length is a number. A reading is a variable seen through a function of its value; it costs nothing, because
the function goes into the weights of whoever reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float

from mechscope.planted.program import Value

Matrix = Float[torch.Tensor, "rows columns"]
Vector = Float[torch.Tensor, "columns"]
ONE = "one"
"""The variable that is 1 at every token and 0 at BOS; constants are read from it."""


@dataclass(frozen=True, eq=False)
class Variable:
    """What one component writes and others read."""

    name: str
    values: tuple[Value, ...]
    """Every value it can have, None not counted; None is written as zero."""
    encoding: Matrix
    """The direction of each value [value, dim], in float64."""
    numerical: bool = False
    """Whether it is a number along one direction, not one direction a value."""
    may_be_none: bool = False
    varies: bool = True
    """Whether it depends on the tokens; positions and constants are the same in every input."""

    @property
    def width(self) -> int:
        """Dimensions of the residual stream that it takes."""
        return self.encoding.shape[1]


@dataclass(frozen=True, eq=False)
class Reading:
    """A variable seen through a function: the value read for each value of the variable."""

    variable: Variable
    values: tuple[Value, ...]

    @property
    def classes(self) -> tuple[Value, ...]:
        """The different values that can be read, None not counted, in order of appearance."""
        return tuple(dict.fromkeys(value for value in self.values if value is not None))

    @property
    def may_be_none(self) -> bool:
        """Whether None can be read."""
        return self.variable.may_be_none or None in self.values

    def through(self, function: Callable[[Value], Value]) -> Reading:
        """The same variable seen through one more function (None stays None)."""
        return Reading(
            self.variable, tuple(None if value is None else function(value) for value in self.values)
        )

    def weights(self, targets: Matrix) -> Matrix:
        """The matrix [dim, out] that turns the variable's direction of each value into its row of `targets`.

        Raises:
            ValueError: where the variable's encoding cannot be read that way by a linear map.
        """
        encoding = self.variable.encoding
        weights = torch.linalg.pinv(encoding) @ targets
        if not torch.allclose(encoding @ weights, targets, atol=1e-9):
            raise ValueError(
                f"{self.variable.name!r} takes {encoding.shape[1]} dimensions for {len(encoding)} values, and a linear "
                "map cannot read this function from it; put an elementwise map between, or leave out its encoding."
            )
        return weights

    def indicator(self, wanted: Sequence[Value]) -> Matrix:
        """One row a value of the variable, a 1 in the column of the value read [value, wanted]."""
        return torch.tensor(
            [[float(value == column) for column in wanted] for value in self.values], dtype=torch.float64
        ).reshape(len(self.values), len(wanted))


@dataclass(frozen=True, eq=False)
class AtomPlan:
    """One condition of a head's selector."""

    key: Reading
    query: Reading
    table: Matrix
    """1 where the query's value selects the key's [query value, key value]."""


@dataclass(frozen=True, eq=False)
class HeadPlan:
    """An attention head: whom each position looks at, and what it brings."""

    output: Variable
    atoms: tuple[AtomPlan, ...]
    prefer: tuple[Reading, ...]
    value: Reading
    targets: Matrix
    """What each value of the variable read becomes [value, dim of output]."""
    counts: bool = False
    """Whether BOS is always selected too, so that its share of the attention tells how many others are."""
    note: str = ""

    def reads(self) -> list[tuple[Reading, str]]:
        """What it reads, and by which of its inputs: q, k or v."""
        return [
            *((atom.query, "q") for atom in self.atoms),
            *((atom.key, "k") for atom in self.atoms),
            *((reading, "k") for reading in self.prefer),
            (self.value, "v"),
        ]


@dataclass
class Neurons:
    """ReLU neurons that together write one variable, one list entry each."""

    reads: list[list[tuple[Variable, Vector]]] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    at_bos: list[float] = field(default_factory=list)
    """Added to the bias at BOS, where nothing must fire."""
    out: list[Vector] = field(default_factory=list)

    def add(
        self, reads: list[tuple[Variable, Vector]], bias: float, out: Vector, at_bos: float = 0.0
    ) -> None:
        """One neuron more, unless it would write nothing."""
        if bool(out.any()):
            self.reads.append(reads)
            self.bias.append(bias)
            self.out.append(out)
            self.at_bos.append(at_bos)

    def __len__(self) -> int:
        return len(self.out)


@dataclass(frozen=True, eq=False)
class MapPlan:
    """Neurons of an MLP that compute one variable."""

    output: Variable
    inputs: tuple[Reading, ...]
    neurons: Neurons
    note: str = ""

    def reads(self) -> list[tuple[Reading, str]]:
        """What it reads."""
        return [(reading, "") for reading in self.inputs]


@dataclass(frozen=True, eq=False)
class Plan:
    """A whole program: heads and maps in an order in which each follows what it reads."""

    tokens: Variable
    positions: Variable
    one: Variable
    parts: tuple[HeadPlan | MapPlan, ...]
    output: Reading
    none_answer: Value = None
    """The token predicted where the output variable is None, if any."""


def one_hot(values: Sequence[Value]) -> Matrix:
    """A dimension a value [value, value]."""
    return torch.eye(len(values), dtype=torch.float64)


def encoding_of(values: Sequence[Value], encode: Callable[[Any], tuple[float, ...]] | None) -> Matrix:
    """The direction of each value [value, dim]."""
    if encode is None:
        return one_hot(values)
    return torch.tensor([encode(value) for value in values], dtype=torch.float64)
