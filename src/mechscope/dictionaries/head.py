"""Read and write one head of a hook point, or all heads concatenated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

HEAD = "hook_head_index"
"""Metadata key of the head that a dictionary reads."""
HEAD_OUT = "hook_head_index_out"
"""Metadata key of the head that a transcoder writes."""


def check_head(head: Any, what: str = "head") -> int | None:
    """The head's number, or None for all heads.

    Raises:
        ValueError: for anything else.
    """
    if head is None:
        return None
    if isinstance(head, bool) or not hasattr(head, "__index__") or int(head) < 0:
        raise ValueError(f"{what} must be the index of a head (from 0), or None for all heads, not {head!r}.")
    return int(head)


def head_read(dictionary: Any, given: int | None = None) -> int | None:
    """The head that a dictionary reads: the given one, or the one in its metadata.

    Raises:
        ValueError: for anything that is not the index of a head.
    """
    metadata: Any = getattr(dictionary, "metadata", None) or {}
    return check_head(metadata.get(HEAD), f"the dictionary's {HEAD}") if given is None else check_head(given)


def head_written(dictionary: Any, given: int | None = None, read: int | None = None) -> int | None:
    """The head that a dictionary writes; an autoencoder writes the head that it reads (`read`).

    Raises:
        ValueError: for anything that is not the index of a head.
    """
    if given is not None:
        return check_head(given)
    cfg: Any = getattr(dictionary, "cfg", None)
    if cfg is None or not cfg.transcodes:
        return read
    metadata: Any = getattr(dictionary, "metadata", None) or {}
    return check_head(metadata.get(HEAD_OUT), f"the dictionary's {HEAD_OUT}")


def read_part(activation: Tensor, head: int | None, hook_name: str) -> Tensor:
    """The part of an activation that a dictionary reads [batch pos width]: one head, or all heads concatenated.

    Raises:
        ValueError: if the activation has no heads, or too few.
    """
    if head is None:
        return activation.flatten(2)
    _check_axis(activation, head, hook_name)
    return activation[:, :, head]


def write_part(activation: Tensor, new: Tensor, head: int | None, hook_name: str) -> Tensor:
    """A copy of the activation with `new` in place of what `read_part` returns.

    Raises:
        ValueError: as `read_part`, and if `new` does not fit.
    """
    if head is None:
        if new.numel() != activation.numel():
            raise ValueError(
                f"the dictionary writes shape {tuple(new.shape)}, but {hook_name} has shape {tuple(activation.shape)}."
            )
        return new.reshape(activation.shape).to(activation.dtype)
    _check_axis(activation, head, hook_name)
    if new.shape != activation[:, :, head].shape:
        raise ValueError(
            f"the dictionary writes shape {tuple(new.shape)}, but head {head} of {hook_name} has shape "
            f"{tuple(activation[:, :, head].shape)}."
        )
    which = torch.tensor([head], device=activation.device)
    return activation.index_copy(2, which, new.to(activation.dtype)[:, :, None])


def _check_axis(activation: Tensor, head: int, hook_name: str) -> None:
    if activation.ndim != 4:
        raise ValueError(
            f"{hook_name} has shape {tuple(activation.shape)} and no heads, so there is no head {head} to read."
        )
    if head >= activation.shape[2]:
        raise ValueError(f"{hook_name} has heads 0 to {activation.shape[2] - 1}, but no head {head}.")
