"""Hooks that keep what passes them, in a dictionary by name."""

from __future__ import annotations

import torch

from mechscope.model.hook_points import HookFunction, HookPoint
from mechscope.model.lent_memory import own_copy
from mechscope.model.slice import Slice


def caching_hook(
    cache: dict[str, torch.Tensor],
    suffix: str,
    device: torch.device | str | None,
    remove_batch_dim: bool,
    pos_slice: Slice | None,
) -> HookFunction:
    """A hook that keeps a detached activation (or gradient) in `cache`, under its point's name and `suffix`.

    Kept activations share no memory with the weights or with the inputs of the pass.

    Args:
        device: where to keep it; None leaves it where it is.
        remove_batch_dim: drop the leading axis of a batch of one.
        pos_slice: which positions to keep.

    Raises:
        ValueError: (in the pass) where remove_batch_dim meets a larger batch.
    """

    def save(activation: torch.Tensor, hook: HookPoint) -> None:
        value = activation.detach()
        if device is not None:
            value = value.to(device)
        if pos_slice is not None:
            value = pos_slice.apply(value, dim=_position_axis(hook.name or "", value))
        if remove_batch_dim:
            if value.shape[0] != 1:
                raise ValueError(f"remove_batch_dim needs a batch of 1; {hook.name!r} has {value.shape[0]}.")
            value = value[0]
        value = own_copy(value)
        # A point may fire more than once (a norm whose readers are split by head): the order of the
        # dictionary is that of the values it holds.
        cache.pop((hook.name or "") + suffix, None)
        cache[(hook.name or "") + suffix] = value

    return save


def _position_axis(name: str, activation: torch.Tensor) -> int:
    """The axis of positions: the second, but for attention scores and patterns, where it is the query's."""
    if name.endswith(("hook_attn_scores", "hook_pattern")):
        return -2
    return 1 if activation.ndim > 1 else 0
