"""Public-domain books from the data folder's archive, as plain text."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

from mechscope.reading import check_unpacked_size, regular_file
from mechscope.storage.folders import DATA_VARIABLE, data_folder

ARCHIVE = "text/classic_books.tar.xz"
"""Path of the archive of books in the data folder."""


def missing_books() -> str | None:
    """Why the books cannot be read and how to fix it; None if they can be read."""
    data = data_folder()
    if data is None:
        return f"the books cannot be found: set {DATA_VARIABLE} to a folder that contains {ARCHIVE}."
    if not (data / ARCHIVE).is_file():
        return f"{data / ARCHIVE} does not exist; {DATA_VARIABLE} must name a folder that contains {ARCHIVE}."
    return None


def books_archive() -> Path:
    """The archive of books.

    Raises:
        FileNotFoundError: if it cannot be found; says how to fix it.
    """
    if (reason := missing_books()) is not None:
        raise FileNotFoundError(reason)
    data = data_folder()
    assert data is not None
    return data / ARCHIVE


def read_books(archive: Path) -> dict[str, str]:
    """Title (the file name without its suffix) → text, sorted by title.

    Line endings become single newlines, and stray byte-order marks are removed.

    Raises:
        ValueError: if the archive is damaged or contains no books.
    """
    found: dict[str, str] = {}
    try:
        with tarfile.open(regular_file(archive)) as opened:
            unpacked = 0
            for member in opened:
                file = opened.extractfile(member) if member.name.endswith(".md") else None
                if file is not None:
                    unpacked += member.size
                    check_unpacked_size(archive, unpacked)
                    text = file.read().decode("utf-8").replace("\ufeff", "").replace("\r\n", "\n")
                    found[Path(member.name).stem] = text
    except (tarfile.TarError, lzma.LZMAError, EOFError, UnicodeDecodeError, OSError, ValueError) as error:
        raise ValueError(f"{str(archive)!r} is not a complete archive of books: {error}.") from error
    if not found:
        raise ValueError(f"{str(archive)!r} contains no books (files that end in .md).")
    return dict(sorted(found.items()))
