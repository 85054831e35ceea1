"""Files spoiled in many ways, and what a loader may do with them.

A loader may load the values that were written, warn of a setting that it does not know, or raise ValueError, KeyError
or OSError. Warnings and errors have the name of the file or of its folder. Any other exception, a hang, or (where the
format has a checksum) other values is a fault.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ALLOWED = (ValueError, KeyError, OSError)
ODD_VALUES: tuple[Any, ...] = (
    None, True, "x", "", "float99", 0, -1, 1.5, 2**40, 2**70, 10**400, math.inf, math.nan, [], [[]], {}, {"a": 1},
    "../x", "\u0000", [None], -1e308,
)  # fmt: skip
"""What stands in a damaged JSON file in the place of a value."""
SECONDS = 20
"""No loader of a small file takes this long unless it hangs."""


@dataclass(frozen=True)
class Kind:
    """A kind of input: how to write a small valid one, and how to read it."""

    write: Callable[[Path], object]
    """Writes the files into an empty folder."""
    read: Callable[[Path], object]
    """Reads them from the folder; what comes back is compared."""
    has_checksum: tuple[str, ...] = ()
    """Endings of the files whose every byte is protected by a checksum."""
    may_be_missing: tuple[str, ...] = ()
    """Endings of files that a loader does without."""
    missing_is_none: bool = False
    """Whether the loader answers None to a file that it cannot use, and the work is done again."""


def assert_damage_is_noticed(kind: Kind, folder: Path, seed: int, amount: int = 10) -> int:
    """Spoil each file of a kind in turn, read it, and check what comes of it; the number of readings."""
    rng = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir()
    kind.write(whole)
    with time_limit():
        expected = plain(kind.read(whole))
    spoiled = folder / "spoiled"
    count = 0
    for path in sorted(path for path in whole.rglob("*") if path.is_file()):
        name = path.relative_to(whole)
        for label, spoil in damages(path.read_bytes(), path.suffix, rng, amount):
            shutil.rmtree(spoiled, ignore_errors=True)
            shutil.copytree(whole, spoiled)
            (spoiled / name).unlink()
            spoil(spoiled / name)
            _check(kind, spoiled, name, label, expected, seed)
            count += 1
    return count


def _check(kind: Kind, folder: Path, name: Path, label: str, expected: object, seed: int) -> None:
    where = f"{name}, {label}, seed {seed}"
    try:
        with time_limit():
            found = kind.read(folder)
    # In tests a warning is an error; a user gets the values as well.
    except (*ALLOWED, UserWarning) as error:
        message = str(error)
        assert not isinstance(error, TimeoutError), f"{where}: the loader hangs"
        assert name.name in message or str(folder) in message, f"{where}: the error names no file: {error!r}"
        assert len(message) < 2000, f"{where}: an error of {len(message)} letters"
        return
    except BaseException as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    if found is None and kind.missing_is_none:
        return
    if name.name.endswith(kind.has_checksum) and kind.has_checksum:
        assert same(plain(found), expected), f"{where}: other values were loaded in silence"
    problem = not_finite(plain(found))
    assert problem is None, f"{where}: {problem} was loaded in silence"


def damages(
    data: bytes, suffix: str, rng: random.Random, amount: int
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Labels, each with what writes the spoiled file."""

    def writes(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    yield "empty", writes(b"")
    yield "a folder", Path.mkdir
    yield "a pipe", os.mkfifo
    yield "a device", lambda path: path.symlink_to("/dev/zero")
    yield "missing", lambda path: None
    yield "zeros", writes(bytes(len(data)))
    yield "more at its end", writes(data + b"\0more")
    yield "of another kind", writes(b"\x89PNG\r\n\x1a\n" + rng.randbytes(50))
    for _ in range(amount):
        cut = rng.randrange(len(data))
        yield f"cut at {cut}", writes(data[:cut])
        yield from ((f"bit {bit} flipped", writes(flipped(data, bit))) for bit in bits(data, rng))
    if suffix == ".json":
        yield from ((label, writes(content)) for label, content in spoiled_json(data, rng, 6 * amount))
    if zipfile.is_zipfile(io.BytesIO(data)):
        yield from ((label, writes(content)) for label, content in spoiled_archives(data, rng))


def bits(data: bytes, rng: random.Random) -> tuple[int, ...]:
    """A bit near the beginning, where headers are, one near the end, where zip files have theirs, and any one."""
    last = 8 * len(data)
    return rng.randrange(min(last, 1600)), rng.randrange(max(0, last - 1600), last), rng.randrange(last)


def flipped(data: bytes, bit: int) -> bytes:
    spoiled = bytearray(data)
    spoiled[bit // 8] ^= 1 << bit % 8
    return bytes(spoiled)


def spoiled_json(data: bytes, rng: random.Random, amount: int) -> Iterator[tuple[str, bytes]]:
    """In other encodings, nested without end, and with odd values in each place."""
    text = data.decode()
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-16 without a mark", text.encode("utf-16-le")
    yield "UTF-32", text.encode("utf-32")
    yield "with a byte-order mark", text.encode("utf-8-sig")
    yield "nested", b"[" * 100_000 + b"]" * 100_000
    yield "nested a little", b'{"a":' * 500 + b"1" + b"}" * 500
    yield "a huge number", b"1" * 5000
    yield "a list", b"[]"
    yield "null", b"null"
    whole = json.loads(text)
    places = list(places_in(whole))
    for _ in range(amount):
        place, value = rng.choice(places), rng.choice(ODD_VALUES)
        yield f"{place} = {str(value)[:20]!r}", json.dumps(replaced(whole, place, value)).encode()
    for place in rng.sample(places, min(len(places), amount // 3)):
        yield f"without {place}", json.dumps(replaced(whole, place, None, drop=True)).encode()


def places_in(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if so_far:
        yield so_far
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places_in(item, (*so_far, key))


def replaced(whole: Any, place: tuple[Any, ...], value: Any, drop: bool = False) -> Any:
    whole = json.loads(json.dumps(whole))
    inside = whole
    for key in place[:-1]:
        inside = inside[key]
    if drop:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return whole


def spoiled_archives(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Packed again with right checksums: compressed, with short, swapped, missing and doubled entries."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}

    def packed(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, bytes_ in entries:
                archive.writestr(name, bytes_)
        return target.getvalue()

    entries = list(content.items())
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield f"packed again by method {method}", packed(entries, method)
    for name in rng.sample([*content], min(4, len(content))):
        number = [*content].index(name)
        yield f"without {name}", packed(entries[:number] + entries[number + 1 :])
        yield f"{name} empty", packed([*entries[:number], (name, b""), *entries[number + 1 :]])
        short = content[name][: len(content[name]) // 2]
        yield f"{name} half as long", packed([*entries[:number], (name, short), *entries[number + 1 :]])
        yield (
            f"{name} half as long, compressed",
            packed([*entries[:number], (name, short), *entries[number + 1 :]], zipfile.ZIP_DEFLATED),
        )
        long = content[name] + content[name]
        yield f"{name} twice as long", packed([*entries[:number], (name, long), *entries[number + 1 :]])


@contextmanager
def time_limit() -> Iterator[None]:
    """TimeoutError where the block takes longer than SECONDS."""

    def stop(*_: object) -> None:
        raise TimeoutError("too long")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def plain(value: Any) -> Any:
    """Values that `same` compares: tensors and arrays by name."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def not_finite(value: Any) -> str | None:
    """Where weights are not finite or not floating point, in words."""
    if isinstance(value, torch.Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
        return "a tensor that is not finite"
    if isinstance(value, dict):
        return next((problem for item in value.values() if (problem := not_finite(item))), None)
    return None
