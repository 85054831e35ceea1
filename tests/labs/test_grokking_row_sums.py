"""Sums of weighted rows and their way back, against loops over every pair, place and head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mechscope.labs.grokking._row_sums import RowSums
from mechscope.labs.grokking.pairs import Pairs, all_pairs, split_pairs


def drawn(pairs: Pairs, n_heads: int, width: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [head number width], weights [pair place_head] and values [pair width]."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((n_heads, 2 * pairs.p, width), (len(pairs), 2 * n_heads), (len(pairs), width))
    rows, weights, values = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return rows, weights, values


def used_rows(pairs: Pairs, n_heads: int) -> list[tuple[int, int, int, int]]:
    """Every (pair, weight, head, number), from what they mean."""
    places = [(0, pairs.a.tolist()), (1, pairs.b.tolist())]
    return [
        (pair, place * n_heads + head, head, place * pairs.p + number)
        for place, numbers in places
        for pair, number in enumerate(numbers)
        for head in range(n_heads)
    ]


@pytest.mark.parametrize(("p", "n_heads", "width", "seed"), [(5, 1, 3, 0), (7, 3, 8, 1), (11, 4, 5, 2)])
def test_there_and_back(p: int, n_heads: int, width: int, seed: int) -> None:
    pairs, _ = split_pairs(p, p * p // 2, seed)
    rows, weights, values = drawn(pairs, n_heads, width, seed)
    sums, back = torch.zeros_like(values), torch.zeros_like(rows)
    for pair, weight, head, number in used_rows(pairs, n_heads):
        sums[pair] += weights[pair, weight] * rows[head, number]
        back[head, number] += weights[pair, weight] * values[pair]
    row_sums = RowSums(pairs, n_heads)
    torch.testing.assert_close(row_sums.sum(rows, weights), sums)
    torch.testing.assert_close(row_sums.to_rows(values, weights), back)


@pytest.mark.parametrize("seed", range(3))
def test_the_way_back_is_the_gradient(seed: int) -> None:
    pairs = all_pairs(5)
    rows, weights, values = drawn(pairs, 2, 6, seed)
    row_sums = RowSums(pairs, 2)
    rows.requires_grad_()
    (expected,) = torch.autograd.grad(row_sums.sum(rows, weights), rows, values)
    torch.testing.assert_close(row_sums.to_rows(values, weights), expected)


def test_rows_that_no_pair_uses_get_nothing() -> None:
    """Also the first row and the last one, where a bag could swallow its neighbour's uses."""
    a, b = torch.tensor([1, 3, 3]), torch.tensor([3, 1, 3])
    pairs = Pairs(a, b, (a + b) % 5, 5)
    _, weights, values = drawn(pairs, 2, 4, 0)
    found = RowSums(pairs, 2).to_rows(values, weights)
    used = found.abs().sum(2) > 0
    expected = torch.zeros(10, dtype=torch.bool)
    expected[[1, 3, 5 + 1, 5 + 3]] = True
    assert used.equal(expected.expand(2, -1))
    torch.testing.assert_close(found[1, 5 + 1], weights[1, 3] * values[1])
