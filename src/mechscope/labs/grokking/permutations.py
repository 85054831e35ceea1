"""Permutations: how they compose, and their irreducible representations.

A representation gives every permutation a matrix so that composing permutations multiplies matrices. It is irreducible
if no change of basis splits all its matrices into smaller blocks. These "irreps" are for composition what waves are for
addition: every function of a permutation is a sum of their entries, and the entries are orthogonal.

There is one irrep per partition of n. Young's orthogonal form (see G. James and A. Kerber, "The Representation Theory
of the Symmetric Group", 1981, chapter 3) gives its matrices for swaps of neighbours; every permutation is a product of
such swaps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

LARGEST = 6
"""Largest n: a table of all pairs and answers of more than 720 permutations would be too large."""


@dataclass(frozen=True)
class SymmetricGroup:
    """All permutations of n things. Permutation 0 moves nothing."""

    n: int
    """How many things are permuted."""
    elements: Int[Tensor, "element n"]
    """Permutation g moves thing i to position elements[g, i]. Sorted lexicographically."""
    table: Int[Tensor, "element element"]
    """table[a, b] is the composition a∘b: first b, then a."""
    inverse: Int[Tensor, " element"]
    """The permutation that undoes each."""
    irreps: Mapping[str, Float[Tensor, "element dim dim"]]
    """Partition, such as "4+1" → orthogonal matrices with ρ(a∘b) = ρ(a) ρ(b), in float64."""

    def __len__(self) -> int:
        return len(self.elements)

    @property
    def characters(self) -> dict[str, Float[Tensor, " element"]]:
        """Partition → trace of the irrep's matrix for each permutation."""
        return {name: matrices.diagonal(dim1=1, dim2=2).sum(1) for name, matrices in self.irreps.items()}

    def projector(self, names: Sequence[str]) -> Float[Tensor, "element element"]:
        """The projection of functions of a permutation on the entries of some irreps' matrices.

        This is the group's Fourier transform, restricted to these irreps, followed by its inverse.

        Raises:
            KeyError: for an irrep that the group does not have.
        """
        quotient = self.table[:, self.inverse]
        projector = torch.zeros(len(self), len(self), dtype=torch.float64)
        for name in names:
            if name not in self.irreps:
                raise KeyError(f"no irrep {name!r}; those of {self.n} things are {', '.join(self.irreps)}.")
            projector += self.irreps[name].shape[1] / len(self) * self.characters[name][quotient]
        return projector


def symmetric_group(n: int) -> SymmetricGroup:
    """The group of all permutations of n things.

    Raises:
        ValueError: if n is below 2 or above LARGEST.

    >>> {name: matrices.shape[1] for name, matrices in symmetric_group(3).irreps.items()}
    {'3': 1, '2+1': 2, '1+1+1': 1}
    """
    if not 2 <= n <= LARGEST:
        raise ValueError(f"n must be between 2 and {LARGEST}, not {n}.")
    elements = torch.tensor(list(itertools.permutations(range(n))))
    # Read as a number in base n, each permutation is unique, and the order stays the same.
    digits = n ** torch.arange(n - 1, -1, -1)
    composed = elements[:, elements]  # [a, b, i] = a(b(i))
    table = torch.searchsorted((elements * digits).sum(-1), (composed * digits).sum(-1))
    return SymmetricGroup(
        n,
        elements,
        table,
        (table == 0).int().argmax(1),
        {"+".join(map(str, shape)): _matrices(elements, table, shape) for shape in partitions(n)},
    )


def partitions(n: int, largest: int | None = None) -> list[tuple[int, ...]]:
    """All ways to write n as a sum of positive numbers in descending order, largest first number first.

    >>> partitions(4)
    [(4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1)]
    """
    if n == 0:
        return [()]
    return [
        (first, *rest)
        for first in range(min(n, largest or n), 0, -1)
        for rest in partitions(n - first, first)
    ]


def standard_tableaux(shape: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
    """All ways to fill a partition's boxes with 0 … n-1 so that rows and columns increase.

    Each is given by the (row, column) of every number.
    """
    tableaux: list[tuple[tuple[int, int], ...]] = [()]
    for _ in range(sum(shape)):
        tableaux = [(*tableau, box) for tableau in tableaux for box in _free_boxes(tableau, shape)]
    return tableaux


def _free_boxes(tableau: Sequence[tuple[int, int]], shape: Sequence[int]) -> list[tuple[int, int]]:
    filled = [sum(row == index for row, _ in tableau) for index in range(len(shape))]
    return [
        (row, filled[row])
        for row in range(len(shape))
        if filled[row] < shape[row] and (row == 0 or filled[row - 1] > filled[row])
    ]


def neighbour_swaps(shape: Sequence[int]) -> Float[Tensor, "swap dim dim"]:
    """Young's orthogonal form: the matrices of the swaps of things i and i + 1.

    The basis is the standard tableaux. Let r be the distance of i + 1's box from the diagonal, minus that of i's box. A
    swap maps a tableau to 1/r times itself plus √(1 - 1/r²) times the tableau with both numbers exchanged.
    """
    tableaux = standard_tableaux(shape)
    place = {tableau: index for index, tableau in enumerate(tableaux)}
    swaps = torch.zeros(sum(shape) - 1, len(tableaux), len(tableaux), dtype=torch.float64)
    for tableau, column in place.items():
        for i in range(sum(shape) - 1):
            (row_low, column_low), (row_high, column_high) = tableau[i], tableau[i + 1]
            distance = (column_high - row_high) - (column_low - row_low)
            swaps[i, column, column] = 1 / distance
            if abs(distance) > 1:
                exchanged = (*tableau[:i], tableau[i + 1], tableau[i], *tableau[i + 2 :])
                swaps[i, place[exchanged], column] = math.sqrt(1 - 1 / distance**2)
    return swaps


def _matrices(
    elements: Int[Tensor, "element n"], table: Int[Tensor, "element element"], shape: Sequence[int]
) -> Float[Tensor, "element dim dim"]:
    """The matrix of every permutation, as a product of swaps of neighbours."""
    swaps = neighbour_swaps(shape)
    n, dim = elements.shape[1], swaps.shape[1]
    numbers = {tuple(element): number for number, element in enumerate(elements.tolist())}
    swapped = [numbers[(*range(i), i + 1, i, *range(i + 2, n))] for i in range(n - 1)]
    matrices = torch.zeros(len(elements), dim, dim, dtype=torch.float64)
    matrices[0] = torch.eye(dim, dtype=torch.float64)
    reached, waiting = {0}, [0]
    while waiting:
        element = waiting.pop(0)
        for i, swap in enumerate(swapped):
            following = int(table[element, swap])
            if following not in reached:
                matrices[following] = matrices[element] @ swaps[i]
                reached.add(following)
                waiting.append(following)
    return matrices
