"""The intermediate form between a program and its weights: variables, readings, heads and neurons, not yet placed.

A variable is a part of the residual stream that one component writes: one direction per value, or a single direction
scaled by a number. A reading is a function of a variable's value; it costs nothing, because the function becomes part
of the weights of the component that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float

from mechscope.planted.program import Value

Matrix = Float[torch.Tensor, "_ _"]  # of any size: one signature may have several
Vector = Float[torch.Tensor, " _"]
ONE = "one"
"""The variable that is 1 at every token and 0 at BOS; constants are read from it."""


@dataclass(frozen=True, eq=False)
class Variable:
    """The output of one component, which others read."""

    name: str
    values: tuple[Value, ...]
    """Every value it can have, except None, which is written as zero."""
    encoding: Matrix
    """The direction of each value [value, dim], in float64."""
    numerical: bool = False
    """Whether it is a number along one direction, rather than one direction per value."""
    may_be_none: bool = False
    varies: bool = True
    """Whether it depends on the tokens; positions and constants are the same in every input."""

    @property
    def width(self) -> int:
        """How many dimensions of the residual stream it uses."""
        return self.encoding.shape[1]


@dataclass(frozen=True, eq=False)
class Reading:
    """A function of a variable: the value read for each value of the variable."""

    variable: Variable
    values: tuple[Value, ...]

    @property
    def classes(self) -> tuple[Value, ...]:
        """The distinct values that can be read, except None, in order of appearance."""
        return tuple(dict.fromkeys(value for value in self.values if value is not None))

    @property
    def may_be_none(self) -> bool:
        """Whether None can be read."""
        return self.variable.may_be_none or None in self.values

    def through(self, function: Callable[[Value], Value]) -> Reading:
        """The same variable with one more function applied (None stays None)."""
        return Reading(
            self.variable, tuple(None if value is None else function(value) for value in self.values)
        )

    def weights(self, targets: Matrix) -> Matrix:
        """The matrix [dim, out] that maps the direction of each value to its row of `targets`.

        Raises:
            ValueError: if no linear map does this for the variable's encoding.
        """
        encoding = self.variable.encoding
        weights = torch.linalg.pinv(encoding) @ targets
        if not torch.allclose(encoding @ weights, targets, atol=1e-9):
            raise ValueError(
                f"{self.variable.name!r} has {encoding.shape[1]} dimensions for {len(encoding)} values, and a linear "
                "map cannot read this function from it; add an elementwise map in between, or leave out its encoding."
            )
        return weights

    def indicator(self, wanted: Sequence[Value]) -> Matrix:
        """One row per value of the variable, with a 1 in the column of the value read [value, wanted]."""
        return torch.tensor(
            [[float(value == column) for column in wanted] for value in self.values], dtype=torch.float64
        ).reshape(len(self.values), len(wanted))


@dataclass(frozen=True, eq=False)
class AtomPlan:
    """One condition of a head's selector."""

    key: Reading
    query: Reading
    table: Matrix
    """1 if the query's value selects the key's [query value, key value]."""


@dataclass(frozen=True, eq=False)
class HeadPlan:
    """An attention head: which positions it attends to, and what it copies from them."""

    output: Variable
    atoms: tuple[AtomPlan, ...]
    prefer: tuple[Reading, ...]
    value: Reading
    targets: Matrix
    """The output for each value of the variable that is read [value, dim of output]."""
    counts: bool = False
    """Whether BOS is always selected too, so that its attention tells how many other keys are."""
    note: str = ""

    def reads(self) -> list[tuple[Reading, str]]:
        """What it reads, and through which input: q, k or v."""
        return [
            *((atom.query, "q") for atom in self.atoms),
            *((atom.key, "k") for atom in self.atoms),
            *((reading, "k") for reading in self.prefer),
            (self.value, "v"),
        ]


@dataclass
class Neurons:
    """ReLU neurons that together write one variable; each list has one entry per neuron."""

    reads: list[list[tuple[Variable, Vector]]] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    at_bos: list[float] = field(default_factory=list)
    """Added to the bias at BOS, where no neuron may fire."""
    out: list[Vector] = field(default_factory=list)

    def add(
        self, reads: list[tuple[Variable, Vector]], bias: float, out: Vector, at_bos: float = 0.0
    ) -> None:
        """Add a neuron, unless it would write nothing."""
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
    """A whole program: heads and maps in dependency order."""

    tokens: Variable
    positions: Variable
    one: Variable
    parts: tuple[HeadPlan | MapPlan, ...]
    output: Reading
    none_answer: Value = None
    """The token to predict where the output is None, if any."""


def one_hot(values: Sequence[Value]) -> Matrix:
    """One dimension per value [value, value]."""
    return torch.eye(len(values), dtype=torch.float64)


def encoding_of(values: Sequence[Value], encode: Callable[[Any], tuple[float, ...]] | None) -> Matrix:
    """The direction of each value [value, dim]."""
    if encode is None:
        return one_hot(values)
    return torch.tensor([encode(value) for value in values], dtype=torch.float64)
