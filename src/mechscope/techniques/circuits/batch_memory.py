"""How much memory one batch of runs may take."""

from __future__ import annotations

import torch

_FAST = 256 << 20
"""Bytes beyond which a larger batch is slower on a CPU: its arrays are then fetched from the system anew each time."""


def batch_memory(budget: int, device: torch.device | str) -> int:
    """Bytes for one batch out of a budget: half of it, and no more than is fast."""
    half = budget // 2
    return min(half, _FAST) if torch.device(device).type == "cpu" else half
