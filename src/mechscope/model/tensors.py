"""Small functions for tensors, dictionaries and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.factored_matrix import FactoredMatrix


def to_numpy(tensor: Any) -> np.ndarray:
    """A NumPy array from a tensor (of any device and dtype), an array, a list of these or a number.

    >>> to_numpy(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    array([1., 2.], dtype=float32)
    """
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().cpu()
        # NumPy has no bfloat16.
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).resolve_conj().numpy()
    if isinstance(tensor, (list, tuple)):
        return np.array([to_numpy(part) if isinstance(part, torch.Tensor) else part for part in tensor])
    if isinstance(tensor, (np.ndarray, np.generic, bool, int, float, complex, str)):
        return np.asarray(tensor)
    raise TypeError(f"to_numpy takes a tensor, an array, a list or a number, not {type(tensor).__name__}.")


@checked_arguments
def get_corner(tensor: torch.Tensor | FactoredMatrix, n: int = 3) -> torch.Tensor:
    """The first n entries along every axis (of a FactoredMatrix: its first n rows and columns), for inspection.

    Raises:
        ValueError: for n below 1.

    >>> get_corner(torch.arange(12).reshape(3, 4), 2).tolist()
    [[0, 1], [4, 5]]
    """
    if isinstance(tensor, FactoredMatrix):
        return tensor.get_corner(n)
    if n < 1:
        raise ValueError(f"a corner has at least one entry per axis, not {n}.")
    return tensor[(slice(n),) * tensor.ndim]


def get_matrix_corner(matrix: torch.Tensor | FactoredMatrix, n: int = 3) -> torch.Tensor:
    """`get_corner` under its other classic name."""
    return get_corner(matrix, n)


@checked_arguments
def remove_batch_dim(tensor: torch.Tensor) -> torch.Tensor:
    """[1 ...] -> [...]; a tensor with a longer first axis is returned unchanged."""
    return tensor.squeeze(0) if tensor.ndim and tensor.shape[0] == 1 else tensor


@checked_arguments
def transpose(tensor: torch.Tensor) -> torch.Tensor:
    """[... a b] -> [... b a]

    Raises:
        ValueError: for a tensor with fewer than two axes.
    """
    if tensor.ndim < 2:
        raise ValueError(f"transpose takes a matrix [... row column], not shape {tuple(tensor.shape)}.")
    return tensor.mT


@checked_arguments
def is_square(x: torch.Tensor) -> bool:
    """Whether this is a square matrix."""
    return x.ndim == 2 and x.shape[0] == x.shape[1]


@checked_arguments
def is_lower_triangular(x: torch.Tensor) -> bool:
    """Whether this is a square matrix with zeros above its diagonal."""
    return is_square(x) and torch.equal(x, x.tril())


@checked_arguments
def get_cumsum_along_dim(tensor: torch.Tensor, dim: int, reverse: bool = False) -> torch.Tensor:
    """Cumulative sums along an axis, starting from its end if `reverse`."""
    return tensor.flip(dim).cumsum(dim).flip(dim) if reverse else tensor.cumsum(dim)


@checked_arguments
def repeat_along_head_dimension(
    tensor: torch.Tensor, n_heads: int, clone_tensor: bool = True
) -> torch.Tensor:
    """[batch pos d_model] -> [batch pos head d_model]; without `clone_tensor` a view, which must not be edited.

    Raises:
        ValueError: for another shape, or fewer than one head.
    """
    if tensor.ndim != 3 or n_heads < 1:
        raise ValueError(
            f"a tensor [batch pos d_model] is repeated for at least one head, not {tuple(tensor.shape)} for {n_heads}."
        )
    repeated = tensor.unsqueeze(2).expand(-1, -1, n_heads, -1)
    return repeated.clone() if clone_tensor else repeated


def filter_dict_by_prefix(dictionary: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose dotted names start with `prefix.`, without the prefix.

    >>> filter_dict_by_prefix({"attn.W_Q": 1, "mlp.W_in": 2}, "attn")
    {'W_Q': 1}
    """
    start = prefix if prefix.endswith(".") else f"{prefix}."
    return {name.removeprefix(start): value for name, value in dictionary.items() if name.startswith(start)}


@checked_arguments
def get_nested_attr(obj: Any, attr_str: str) -> Any:
    """A nested attribute by its dotted path, such as "blocks.0.attn.W_Q"; numbers index lists.

    Raises:
        AttributeError, IndexError, KeyError: for a path that does not exist.
    """
    for part in attr_str.split("."):
        try:
            obj = obj[int(part)] if part.isdigit() else getattr(obj, part)
        except (AttributeError, IndexError, KeyError) as error:
            raise type(error)(f"{attr_str!r}: there is no {part!r} in a {type(obj).__name__}.") from None
    return obj


@checked_arguments
def set_nested_attr(obj: Any, attr_str: str, value: Any) -> None:
    """Set a nested attribute by its dotted path (see `get_nested_attr`)."""
    *parents, last = attr_str.split(".")
    owner = get_nested_attr(obj, ".".join(parents)) if parents else obj
    setattr(owner, last, value)
