"""Seeds made of several numbers, and numbers drawn a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def seeded(*numbers: int) -> torch.Generator:
    """A generator whose seed mixes several numbers, so that neighbours have nothing in common."""
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


PIECE = 4096


def normal_rows(rows: int, width: int, generator: torch.Generator, *, piece: int = PIECE) -> Iterator[Tensor]:
    """The rows of torch.randn(rows, width), a few thousand at a time.

    Args:
        piece: rows at a time, a multiple of 16: numbers are drawn sixteen together, so that only then are the pieces
            those of the whole. The last piece takes what would be too small to stand alone.
    """
    left = rows
    while left:
        size = left if left < 2 * piece else piece
        yield torch.randn(size, width, generator=generator)
        left -= size
