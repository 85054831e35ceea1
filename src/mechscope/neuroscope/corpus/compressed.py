"""Open files that are compressed, and say what is wrong with those that are damaged or cut off.

They are unpacked while they are read, so neither memory nor disk depends on their size.
"""

from __future__ import annotations

import importlib
import platform
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mechscope.reading import regular_file


class _Format(NamedTuple):
    """How files with one suffix are unpacked."""

    module: str
    """The module of the standard library; a Python may have been built without it, or be too old for it."""
    error: str | None
    """The module's own error about damaged files, besides OSError, EOFError and zlib.error."""
    fix: str
    """What to do if the module is missing."""


_FORMATS = {
    ".gz": _Format("gzip", None, "unpack the file with `gunzip`"),
    ".bz2": _Format("bz2", None, "unpack the file with `bunzip2`"),
    ".xz": _Format("lzma", "LZMAError", "unpack the file with `unxz`"),
    ".zst": _Format(
        "compression.zstd", "ZstdError", "use Python 3.14 or later, or unpack the file with `unzstd`"
    ),
}
COMPRESSED = tuple(_FORMATS)
"""Suffixes of compressed files."""


PIECE = 2**18
"""So many bytes are unpacked at once."""


class DamagedArchiveError(ValueError):
    """A compressed file is damaged or cut off; what was unpacked before that place can be used."""


class Beginning(NamedTuple):
    """The first bytes of what a file contains."""

    content: bytes
    stored: int
    """As how many bytes they are stored."""
    is_whole: bool
    """Whether this is the whole file, …"""
    is_damaged: bool
    """… or all that can be read of one that is damaged."""


def suffix_of_content(path: Path) -> str:
    """The suffix that says what a file contains, in lower case, without that of the compression.

    >>> suffix_of_content(Path("Rows.JSONL.gz")), suffix_of_content(Path("notes.txt")), suffix_of_content(Path("a.gz"))
    ('.jsonl', '.txt', '')
    """
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def why_unreadable(path: Path) -> str:
    """Why this Python cannot unpack files of this format, as part of a sentence; empty if it can."""
    suffix = path.suffix.lower()
    if suffix not in COMPRESSED:
        return ""
    try:
        importlib.import_module(_FORMATS[suffix].module)
    except ImportError:
        version = platform.python_version()
        return f"this Python ({version}) cannot unpack {suffix} files; {_FORMATS[suffix].fix}"
    return ""


@contextmanager
def open_unpacked(path: Path) -> Generator[BinaryIO]:
    """What a file contains: unpacked if its name says that it is compressed, or else as it is.

    Raises:
        OSError: if it cannot be opened.
        ValueError: for what is not a regular file, and a format that this Python cannot unpack.
        DamagedArchiveError: where the file turns out to be damaged while it is read.
    """
    with regular_file(path).open("rb") as stored, _unpacked(path, stored) as content:
        yield content


def read_beginning(path: Path, at_most: int) -> Beginning:
    """The first bytes of what a file contains, about `at_most`.

    Raises:
        OSError, ValueError: see `open_unpacked`.
    """
    found, is_damaged = bytearray(), False
    with regular_file(path).open("rb") as stored:
        try:
            with _unpacked(path, stored) as content:
                one_by_one: Any = content
                # `read` would lose what it has unpacked before it finds the damage.
                while len(found) < at_most and (piece := one_by_one.read1(PIECE)):
                    found += piece
        except DamagedArchiveError:
            is_damaged = True
        is_whole = len(found) < at_most and not is_damaged
        # Some of the stored bytes that were read may be of what comes next, unless nothing does.
        used = path.stat().st_size if is_whole or is_damaged else stored.tell()
    return Beginning(bytes(found), used, is_whole, is_damaged)


@contextmanager
def _unpacked(path: Path, stored: BinaryIO) -> Generator[BinaryIO]:
    suffix = path.suffix.lower()
    if suffix not in COMPRESSED:
        yield stored
        return
    if reason := why_unreadable(path):
        raise ValueError(reason)
    module: Any = importlib.import_module(_FORMATS[suffix].module)
    own = _FORMATS[suffix].error
    damage = (zlib.error, getattr(module, own) if own else zlib.error)
    try:
        with module.open(stored, "rb") as content:
            yield content
    except EOFError as error:
        raise DamagedArchiveError("the archive is cut off") from error
    except damage as error:
        raise DamagedArchiveError(f"the archive is damaged ({error})") from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the archive
            raise
        raise DamagedArchiveError(f"the archive is damaged ({error})") from error
