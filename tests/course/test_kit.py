"""Measurements that checks use."""

from __future__ import annotations

import torch

from mechscope.course.kit import largest_tensor, multiplications, operations

A, B = torch.ones(3, 4), torch.ones(4, 5)


def test_a_loop_takes_more_operations() -> None:
    rows = torch.ones(20, 3)
    assert operations(lambda: rows * 2) == 1
    assert operations(lambda: [row * 2 for row in rows]) >= 20


def test_multiplications_of_matrix_products_are_counted() -> None:
    batches = torch.ones(2, 3, 4), torch.ones(2, 4, 5)
    assert multiplications(lambda: A @ B) == 3 * 4 * 5
    assert multiplications(lambda: torch.einsum("bij, bjk -> bik", *batches)) == 2 * 3 * 4 * 5
    assert multiplications(lambda: torch.addmm(torch.ones(5), A, B)) == 3 * 4 * 5
    assert multiplications(lambda: A * 2) == 12
    assert multiplications(lambda: A + A) == 0


def test_the_largest_tensor_is_found() -> None:
    assert largest_tensor(lambda: (A @ B).sum()) == 15 * 4
