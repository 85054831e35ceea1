"""Random generators seeded by several numbers, and large draws in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def seeded(*numbers: int) -> torch.Generator:
    """A generator whose seed mixes several numbers, so that similar numbers give unrelated draws."""
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


PIECE = 4096


def normal_rows(rows: int, width: int, generator: torch.Generator, *, piece: int = PIECE) -> Iterator[Tensor]:
    """The rows of torch.randn(rows, width), a few thousand at a time.

    Args:
        piece: rows per piece, a multiple of 16: torch draws sixteen numbers at once, so other pieces would differ from
            one large draw. A remainder smaller than a piece is added to the last piece.
    """
    left = rows
    while left:
        size = left if left < 2 * piece else piece
        yield torch.randn(size, width, generator=generator)
        left -= size
