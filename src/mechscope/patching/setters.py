"""Setters: functions that copy part of the clean activation into the corrupted one.

A setter edits the corrupted activation at an index whose first entry is the layer, and returns it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

PatchSetter = Callable[[torch.Tensor, Sequence[int], torch.Tensor], torch.Tensor]


def layer_pos_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One position of [batch pos ...]; index is (layer, pos)."""
    _, pos = index
    corrupted_activation[:, pos] = clean_activation[:, pos]
    return corrupted_activation


def layer_pos_head_vector_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One head's vector at one position of [batch pos head d_head]; index is (layer, pos, head)."""
    _, pos, head = index
    corrupted_activation[:, pos, head] = clean_activation[:, pos, head]
    return corrupted_activation


def layer_head_vector_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One head's vectors of [batch pos head d_head]; index is (layer, head)."""
    _, head = index
    corrupted_activation[:, :, head] = clean_activation[:, :, head]
    return corrupted_activation


def layer_head_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One head's pattern of [batch head dest src]; index is (layer, head)."""
    _, head = index
    corrupted_activation[:, head] = clean_activation[:, head]
    return corrupted_activation


def layer_head_pos_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One row of a head's pattern [batch head dest src]; index is (layer, head, dest)."""
    _, head, dest = index
    corrupted_activation[:, head, dest] = clean_activation[:, head, dest]
    return corrupted_activation


def layer_head_dest_src_pos_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Sequence[int], clean_activation: torch.Tensor
) -> torch.Tensor:
    """One entry of a head's pattern [batch head dest src]; index is (layer, head, dest, src)."""
    _, head, dest, src = index
    corrupted_activation[:, head, dest, src] = clean_activation[:, head, dest, src]
    return corrupted_activation


WHERE: dict[PatchSetter, tuple[str, ...]] = {
    layer_pos_patch_setter: ("pos",),
    layer_pos_head_vector_patch_setter: ("pos", "head"),
    layer_head_vector_patch_setter: ("head",),
    layer_head_pattern_patch_setter: ("head",),
    layer_head_pos_pattern_patch_setter: ("head", "pos"),
    layer_head_dest_src_pos_pattern_patch_setter: ("head", "pos", "key"),
}
"""For each setter, the fields of `Edit` that the entries of its index set after the layer."""
