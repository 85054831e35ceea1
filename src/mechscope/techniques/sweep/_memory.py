"""How much memory a sweep may use, and how much an example needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mechscope.main_memory import main_memory

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

SHARE_OF_FREE = 0.25
_FAST = 256 << 20
"""Bytes beyond which a larger batch is slower on a CPU, because its arrays are requested from the system each time."""


def free_memory(device: torch.device | str) -> int:
    """Bytes that are free on a device; in main memory, those available without swapping."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return main_memory().available


def memory_budget(memory: int | None, device: torch.device | str) -> int:
    """The user's budget in bytes, or a quarter of what is free.

    Raises:
        ValueError: for a budget that is not positive.
    """
    if memory is not None and memory <= 0:
        raise ValueError(f"the memory budget must be a positive number of bytes, not {memory}.")
    return memory if memory is not None else int(free_memory(device) * SHARE_OF_FREE)


def bytes_of_example(
    cfg: HookedTransformerConfig, start: int, length: int, *, open_attention: bool, extra: int = 0
) -> int:
    """Roughly the peak memory of one example in a block, if positions from `start` on are computed.

    Args:
        open_attention: attention scores and patterns are stored.
        extra: numbers per position that listeners store, such as a dictionary's features.
    """
    heads = cfg.n_heads * cfg.d_head
    keys_values = 2 * cfg.n_kv_heads * cfg.d_head
    mlp = 0 if cfg.attn_only or cfg.d_mlp is None else (4 if cfg.gated_mlp else 3) * cfg.d_mlp
    scores = 3 * cfg.n_heads * length if open_attention else 0
    each = 6 * cfg.d_model + max(3 * heads + 2 * keys_values + scores, mlp) + extra
    # The prefix's keys and values are copied for every intervention, and again when new ones are appended.
    numbers = (length - start) * each + 2 * length * keys_values
    return torch.finfo(cfg.dtype).bits // 8 * numbers


def batch_memory(budget: int, device: torch.device | str) -> int:
    """Bytes that one batch may take: half of the budget, and on a CPU no more than is fast."""
    half = budget // 2
    return min(half, _FAST) if torch.device(device).type == "cpu" else half
