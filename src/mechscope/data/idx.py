"""The IDX format of the MNIST files: four magic bytes, the axes' lengths, then the numbers."""

from __future__ import annotations

import math

import numpy as np

_UNSIGNED_BYTE = 0x08


def parse_idx(data: bytes, name: str = "the file") -> np.ndarray:
    """The array of unsigned bytes in IDX bytes.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])).tolist()
    [7, 8, 9]

    Raises:
        ValueError: if it is not IDX of unsigned bytes, or shorter or longer than its header says.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise ValueError(f"{name} does not start like an IDX file: {data[:4].hex(' ') or 'empty'}.")
    if data[2] != _UNSIGNED_BYTE:
        raise ValueError(f"{name} holds IDX type 0x{data[2]:02x}; only unsigned bytes (0x08) are read here.")
    axes = data[3]
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    if len(data) < start or len(data) - start != math.prod(shape):
        raise ValueError(
            f"{name} announces shape {shape}, which is {math.prod(shape)} bytes, and holds {max(0, len(data) - start)}."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
