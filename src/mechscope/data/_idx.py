"""The IDX format of the MNIST files: four magic bytes, the axes' lengths, then the numbers."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from mechscope.reading import regular_file

_UNSIGNED_BYTE = 0x08
_MOST_AXES = 8


def read_idx_bytes(path: Path, size: int) -> bytes:
    """Read an IDX file of `size` bytes; a file whose name ends in .gz is unpacked.

    A larger file is unpacked to at most size + 1 bytes, so that it cannot exhaust the memory; the caller's checksum
    then fails.

    Raises:
        OSError, ValueError: if it is not a regular file.
        ValueError: if it cannot be unpacked.
    """
    with regular_file(path).open("rb") as file:
        if path.suffix != ".gz":
            return file.read(size + 1)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(size + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked ({error}); it is damaged.") from error


def parse_idx(data: bytes, name: str = "the file") -> np.ndarray:
    """Parse IDX bytes into an array of unsigned bytes.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])).tolist()
    [7, 8, 9]

    Raises:
        ValueError: if it is not IDX of unsigned bytes, or shorter or longer than its header says.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise ValueError(f"{name} does not start like an IDX file: {data[:4].hex(' ') or 'empty'}.")
    if data[2] != _UNSIGNED_BYTE:
        raise ValueError(f"{name} has IDX type 0x{data[2]:02x}; only unsigned bytes (0x08) are supported.")
    axes = data[3]
    if axes > _MOST_AXES:
        raise ValueError(f"{name} declares {axes} axes; images have three and labels one.")
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    if len(data) < start or len(data) - start != math.prod(shape):
        raise ValueError(
            f"{name} declares shape {shape}, which is {math.prod(shape)} bytes, but it contains "
            f"{max(0, len(data) - start)}."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def idx_bytes(array: np.ndarray) -> bytes:
    """Serialize an array of unsigned bytes as IDX.

    >>> idx_bytes(np.array([7, 8, 9], np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 03 07 08 09'

    Raises:
        TypeError: for an array of any other type.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"only unsigned bytes can be written as IDX here, not {array.dtype}.")
    header = bytes([0, 0, _UNSIGNED_BYTE, array.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()
