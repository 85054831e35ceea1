"""Read text files in chunks, and say of a file that is no text what is wrong with it."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from mechscope.neuroscope.corpus.compressed import open_unpacked
from mechscope.reading import regular_file

CHUNK = 2**20
"""Bytes, or characters, that are read at once."""
_OTHER_UNICODE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_chunks(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in chunks, unpacked if it is compressed; every kind of line ending becomes a newline.

    Raises:
        OSError, ValueError: for a file that `check_text` refuses.
    """
    check_text(path)
    with open_unpacked(path) as content, io.TextIOWrapper(content, "utf-8-sig") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def check_text(path: Path) -> None:
    """Check that a whole file is UTF-8 text, so that not half of a damaged file is read.

    Raises:
        OSError: for a file that cannot be opened.
        ValueError: for an empty or binary file, for text in another encoding, for what is not a regular file, and for
            an archive that is damaged or of a format that this Python cannot unpack.
    """
    found = regular_file(path).stat()
    _check_text(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1024)
def _check_text(path: Path, time: int, size: int) -> None:
    """Check a file in the state that it was in at a time.

    A harvest begins to read its corpus several times: to see whether there is text, to measure, to harvest. Large files
    are checked only once.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    position = 0
    empty = True
    with open_unpacked(path) as file:
        while True:
            data = file.read(CHUNK)
            if position == 0 and data.startswith(_OTHER_UNICODE):
                raise ValueError("it is UTF-16 or UTF-32; save it as UTF-8")
            if b"\0" in data:
                raise ValueError("it is binary, not text")
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                byte = position - pending + error.start
                raise ValueError(
                    f"it is not UTF-8 text (byte {byte:,} is 0x{error.object[error.start]:02x}); save it as UTF-8"
                ) from error
            empty = empty and not text.strip()
            position += len(data)
            if not data:
                break
    if empty:
        raise ValueError("it is empty")


def files_below(folder: Path, unreadable: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """The files in a folder and its subfolders, sorted within each; hidden files and folders are left out.

    Only the names of one folder at a time are held in memory.

    Args:
        unreadable: is given the error of each folder that cannot be read; its `filename` is the folder.
    """
    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(here, name)
