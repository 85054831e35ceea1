"""The metadata of a GGUF file: a list of keys, types and values.

The `gguf` package reads it too, one NumPy array per number and string: a second and a half of the time that a model
with 50,000 tokens takes to load. Source of the layout: the GGUF specification (ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

STRING, ARRAY = 8, 9
NUMBERS = {
    0: "u1",
    1: "i1",
    2: "u2",
    3: "i2",
    4: "u4",
    5: "i4",
    6: "f4",
    7: "?",
    10: "u8",
    11: "i8",
    12: "f8",
}
"""Type of a value → the same in NumPy's words."""
_LENGTH = struct.Struct("=Q")
_TYPE = struct.Struct("=I")


def read_metadata(data: memoryview, offset: int, count: int) -> tuple[dict[str, Any], int]:
    """Entries of a GGUF file in this machine's byte order.

    Args:
        data: the whole file.
        offset: where the first entry begins.
        count: how many there are.

    Returns:
        Key → number, string, or list of them; and where the last entry ends.

    Raises:
        ValueError: if the data end too early, or for an unknown type, a text that is not UTF-8, or a repeated key.
    """
    entries: dict[str, Any] = {}
    for number in range(count):
        where = f"entry {number}"
        try:
            (key,), offset = _strings(data, offset, 1)
            where = f"the entry {key!r}"
            kind = _TYPE.unpack_from(data, offset)[0]
            values, offset = _values(data, offset + _TYPE.size, kind, 1)
        except (struct.error, ValueError, RecursionError) as error:
            raise ValueError(f"{where} cannot be read: {error}") from error
        if key in entries:
            raise ValueError(f"{where} is there twice")
        entries[key] = values[0]
    return entries, offset


def _values(data: memoryview, offset: int, kind: int, count: int) -> tuple[list[Any], int]:
    if kind == STRING:
        return _strings(data, offset, count)
    if kind == ARRAY:
        return _arrays(data, offset, count)
    if kind not in NUMBERS:
        raise ValueError(f"{kind} is not a type of value")
    dtype = np.dtype(NUMBERS[kind])
    end = offset + count * dtype.itemsize
    _check_end(data, end)
    return np.frombuffer(data[offset:end], dtype).tolist(), end


def _strings(data: memoryview, offset: int, count: int) -> tuple[list[str], int]:
    # A damaged count must not fill the memory before the end of the file is reached.
    _check_end(data, offset + count * _LENGTH.size)
    strings: list[str] = []
    unpack, size = _LENGTH.unpack_from, len(data)
    for _ in range(count):
        start = offset + _LENGTH.size
        offset = start + unpack(data, offset)[0]
        if offset > size:
            _check_end(data, offset)
        strings.append(str(data[start:offset], "utf-8"))
    return strings, offset


def _arrays(data: memoryview, offset: int, count: int) -> tuple[list[list[Any]], int]:
    arrays: list[list[Any]] = []
    for _ in range(count):
        kind, length = _TYPE.unpack_from(data, offset)[0], _LENGTH.unpack_from(data, offset + _TYPE.size)[0]
        values, offset = _values(data, offset + _TYPE.size + _LENGTH.size, kind, length)
        arrays.append(values)
    return arrays, offset


def _check_end(data: memoryview, end: int) -> None:
    if end > len(data):
        raise ValueError(f"it would end at byte {end:,}, but the file has {len(data):,}")
