"""The small helpers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mechscope.model import tensors
from mechscope.model.factored_matrix import FactoredMatrix


def test_to_numpy_takes_what_notebooks_give_it() -> None:
    for given, expected in (
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        (nn.Parameter(torch.ones(1)), [1.0]),
        (torch.ones(2, dtype=torch.bfloat16), [1.0, 1.0]),
        (np.ones(2), [1.0, 1.0]),
        ([1, 2], [1, 2]),
        ((1.5, 2), [1.5, 2]),
        ([torch.ones(2), torch.zeros(2)], [[1, 1], [0, 0]]),
        (3, 3),
        (True, True),
    ):
        found = tensors.to_numpy(given)
        assert isinstance(found, np.ndarray) and found.tolist() == expected
    with pytest.raises(TypeError, match="not dict"):
        tensors.to_numpy({})


def test_shapes() -> None:
    x = torch.arange(24).reshape(2, 3, 4)
    assert tensors.get_corner(x, 2).shape == (2, 2, 2)
    f = FactoredMatrix(torch.randn(5, 2), torch.randn(2, 6))
    assert torch.equal(tensors.get_corner(f), f.AB[:3, :3]) or torch.allclose(
        tensors.get_corner(f), f.AB[:3, :3]
    )
    assert tensors.remove_batch_dim(x[:1]).shape == (3, 4)
    assert tensors.remove_batch_dim(x) is x
    assert tensors.transpose(x).shape == (2, 4, 3)
    assert tensors.is_square(x[0, :, :3]) and not tensors.is_square(x[:, :, :3])
    assert tensors.is_lower_triangular(torch.ones(3, 3).tril())
    assert not tensors.is_lower_triangular(torch.ones(3, 3))
    repeated = tensors.repeat_along_head_dimension(x.float(), 5)
    assert repeated.shape == (2, 3, 5, 4) and torch.equal(repeated[:, :, 3], x.float())
    assert tensors.repeat_along_head_dimension(x, 5, clone_tensor=False).data_ptr() == x.data_ptr()


def test_running_sums() -> None:
    x = torch.arange(6).reshape(2, 3)
    assert tensors.get_cumsum_along_dim(x, 1).tolist() == [[0, 1, 3], [3, 7, 12]]
    assert tensors.get_cumsum_along_dim(x, 1, reverse=True).tolist() == [[3, 3, 2], [12, 9, 5]]


def test_names_with_dots() -> None:
    assert tensors.filter_dict_by_prefix({"a.b": 1, "a.c.d": 2, "ab": 3}, "a") == {"b": 1, "c.d": 2}
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    assert tensors.get_nested_attr(module, "1.weight") is module[1].weight
    tensors.set_nested_attr(module, "0.bias", None)
    assert module[0].bias is None
    tensors.set_nested_attr(module, "named", 3)
    assert module.named == 3
