"""Slice: every way of choosing along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.slice import Slice

TENSOR = torch.arange(24).reshape(4, 6)
CASES: list[tuple[Any, str, Any]] = [
    (None, "identity", slice(None)),
    (2, "int", 2),
    (-1, "int", -1),
    (np.int64(1), "int", 1),
    (torch.tensor(2), "int", 2),
    ((3,), "slice", slice(3)),
    ((1, 4), "slice", slice(1, 4)),
    ((None, None), "slice", slice(None)),
    ((0, 6, 2), "slice", slice(0, 6, 2)),
    (slice(1, 3), "slice", slice(1, 3)),
    ([0, 2, -1], "array", [0, 2, -1]),
    (np.array([1, 1]), "array", [1, 1]),
    (torch.tensor([3, 0]), "array", [3, 0]),
    ([], "array", []),
    (range(1, 4), "array", [1, 2, 3]),
]


@pytest.mark.parametrize(("given", "mode", "index"), CASES)
def test_applies_to_either_axis_as_indexing_does(given: Any, mode: str, index: Any) -> None:
    chosen = Slice(given)
    assert chosen.mode == mode
    assert torch.equal(chosen.apply(TENSOR, dim=0), TENSOR.T[:, index].T if mode != "int" else TENSOR[index])
    for dim in (1, -1):
        assert torch.equal(chosen.apply(TENSOR, dim), TENSOR[:, index])
    assert chosen.indices(6).tolist() == np.atleast_1d(np.arange(6)[index]).tolist()
    assert Slice.unwrap(chosen) is chosen and Slice.unwrap(given).mode == mode


def test_a_backward_slice_and_a_mask() -> None:
    assert torch.equal(Slice((None, None, -2)).apply(TENSOR, 1), TENSOR.flip(1)[:, ::2])
    mask = [True, False, True, False]
    assert torch.equal(Slice(mask).apply(TENSOR, 0), TENSOR[[0, 2]])
    assert Slice(mask).indices().tolist() == [0, 2]


def test_all_but_a_list_are_views() -> None:
    for given in (None, 1, (1, 3)):
        assert Slice(given).apply(TENSOR, 1).data_ptr() // 8 - TENSOR.data_ptr() // 8 in (0, 1)


@pytest.mark.parametrize(
    ("attempt", "error", "says"),
    [
        (lambda: Slice("x"), ValueError, "not 'x'"),
        (lambda: Slice(1.5), ValueError, "not 1.5"),
        (lambda: Slice(True), ValueError, "not True"),
        (lambda: Slice((1, 2, 3, 4)), ValueError, "start, stop"),
        (lambda: Slice([0.5]), ValueError, "float64"),
        (lambda: Slice(6).apply(TENSOR, 1), IndexError, "index 6 .* axis 1 .*has 6 entries"),
        (lambda: Slice([0, -7]).apply(TENSOR, 1), IndexError, "index -7"),
        (lambda: Slice([True]).apply(TENSOR, 1), IndexError, "needs 6 entries"),
        (lambda: Slice(0).apply(TENSOR, 2), IndexError, "no axis 2"),
        (lambda: Slice((1, 3)).indices(), ValueError, "max_ctx"),
    ],
)
def test_misuse_says_what_is_wrong(attempt: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        attempt()


@pytest.mark.peer
def test_agrees_with_the_peer() -> None:
    peer = pytest.importorskip("transformer_lens.utils").Slice
    for given, mode, _ in CASES:
        if isinstance(given, (np.integer, slice)) or (isinstance(given, list) and not given):
            continue  # what the peer refuses, or gets wrong
        if isinstance(given, range):
            continue  # the peer has none
        ours, theirs = Slice(given), peer(given)
        assert mode == theirs.mode or isinstance(given, torch.Tensor)
        assert torch.equal(ours.apply(TENSOR, 1), theirs.apply(TENSOR, 1)), given
        assert np.array_equal(ours.indices(6), np.atleast_1d(theirs.indices(6)) % 6), given
