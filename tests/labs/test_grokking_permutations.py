"""The symmetric groups and their irreducible representations, against definitions and the known character table."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from mechscope.labs.grokking.permutations import (
    SymmetricGroup,
    neighbour_swaps,
    partitions,
    standard_tableaux,
    symmetric_group,
)

S5 = symmetric_group(5)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_compositions_are_those_of_functions(n: int) -> None:
    group = symmetric_group(n)
    elements = [tuple(row) for row in group.elements.tolist()]
    assert elements == list(itertools.permutations(range(n)))
    for a, b in itertools.product(range(len(group)), repeat=2):
        assert elements[int(group.table[a, b])] == tuple(elements[a][elements[b][i]] for i in range(n))
    assert (group.table[torch.arange(len(group)), group.inverse] == 0).all()


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_irreps_multiply_as_permutations_compose(n: int) -> None:
    group = symmetric_group(n)
    for name, matrices in group.irreps.items():
        dim = matrices.shape[1]
        products = torch.einsum("aij,bjk->abik", matrices, matrices)
        assert (products - matrices[group.table]).abs().max() < 1e-12, name
        assert (matrices @ matrices.transpose(1, 2) - torch.eye(dim)).abs().max() < 1e-12, name
        # In the other order they do not, unless they are numbers.
        assert ((products - matrices[group.table.T]).abs().max() < 1e-12) == (dim == 1), name


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_irreps_are_all_there_are(n: int) -> None:
    """Their characters are orthonormal, so they are irreducible and differ; their squared dimensions sum to n!."""
    group = symmetric_group(n)
    assert sum(matrices.shape[1] ** 2 for matrices in group.irreps.values()) == math.factorial(n)
    characters = torch.stack(list(group.characters.values()))
    assert (characters @ characters.T / len(group) - torch.eye(len(characters))).abs().max() < 1e-12
    conjugated = group.table[group.table, group.inverse[:, None]]  # [h, g] = h g h⁻¹
    assert (characters[:, conjugated] - characters[:, None]).abs().max() < 1e-12


def fixed_points(group: SymmetricGroup) -> torch.Tensor:
    return (group.elements == torch.arange(group.n)).sum(1).double()


def test_the_characters_of_five_things_are_the_known_ones() -> None:
    characters, fixed = S5.characters, fixed_points(S5)
    inversions = torch.stack(
        [(S5.elements[:, i] > S5.elements[:, j]) for i, j in itertools.combinations(range(5), 2)]
    ).sum(0)
    sign = 1 - 2 * (inversions % 2).double()
    swapped = torch.stack(
        [(S5.elements[:, i] == j) & (S5.elements[:, j] == i) for i, j in itertools.combinations(range(5), 2)]
    ).sum(0)
    standard, pairs = fixed - 1, fixed * (fixed - 1) / 2 + swapped
    squared = standard[S5.table.diagonal()]
    expected = {
        "5": torch.ones(120, dtype=torch.float64),
        "4+1": standard,
        "3+2": pairs - fixed,  # permuting unordered pairs: trivial, standard and this one
        "3+1+1": (standard.square() - squared) / 2,  # antisymmetric square of the standard one
        "2+2+1": (pairs - fixed) * sign,
        "2+1+1+1": standard * sign,
        "1+1+1+1+1": sign,
    }
    assert list(characters) == list(expected)
    for name, values in expected.items():
        assert (characters[name] - values).abs().max() < 1e-12, name


def test_partitions_tableaux_and_their_swaps() -> None:
    assert partitions(5) == [
        (5,),
        (4, 1),
        (3, 2),
        (3, 1, 1),
        (2, 2, 1),
        (2, 1, 1, 1),
        (1, 1, 1, 1, 1),
    ]
    assert standard_tableaux((2, 1)) == [((0, 0), (0, 1), (1, 0)), ((0, 0), (1, 0), (0, 1))]
    half, root = 0.5, math.sqrt(0.75)
    expected = torch.tensor([[[1, 0], [0, -1]], [[-half, root], [root, half]]], dtype=torch.float64)
    torch.testing.assert_close(neighbour_swaps((2, 1)), expected)


@pytest.mark.parametrize("names", [["4+1"], ["3+2", "1+1+1+1+1"], []])
def test_the_projection_is_least_squares_on_the_entries(names: list[str]) -> None:
    values = torch.randn(120, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    entries = torch.cat([torch.zeros(120, 1), *(S5.irreps[name].flatten(1) for name in names)], 1).double()
    expected = entries @ torch.linalg.lstsq(entries, values, driver="gelsd").solution
    torch.testing.assert_close(S5.projector(names) @ values, expected)


def test_all_irreps_together_are_everything() -> None:
    assert (S5.projector(list(S5.irreps)) - torch.eye(120)).abs().max() < 1e-12


@pytest.mark.parametrize("n", [1, 7])
def test_groups_that_are_too_small_or_too_large(n: int) -> None:
    with pytest.raises(ValueError, match=f"n must be between 2 and 6, not {n}"):
        symmetric_group(n)


def test_an_unknown_irrep_is_named() -> None:
    with pytest.raises(KeyError, match="no irrep '5\\+1'; those of 5 things are 5, 4\\+1"):
        S5.projector(["5+1"])
