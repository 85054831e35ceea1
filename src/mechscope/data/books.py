"""Public-domain books from the data folder's archive, as plain text."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

from mechscope.reading import check_unpacked_size, regular_file
from mechscope.storage.folders import DATA_VARIABLE, data_folder

ARCHIVE = "text/classic_books.tar.xz"
"""Where the archive of books lies in the data folder."""


def missing_books() -> str | None:
    """Why the books cannot be read, with what to do; None where they can."""
    data = data_folder()
    if data is None:
        return f"the books are not in reach: set {DATA_VARIABLE} to a folder that holds {ARCHIVE}."
    if not (data / ARCHIVE).is_file():
        return f"{data / ARCHIVE} is not there; {DATA_VARIABLE} must name a folder that holds it."
    return None


def books_archive() -> Path:
    """The archive of books.

    Raises:
        FileNotFoundError: if it is out of reach, with what to do.
    """
    if (reason := missing_books()) is not None:
        raise FileNotFoundError(reason)
    data = data_folder()
    assert data is not None
    return data / ARCHIVE


def read_books(archive: Path) -> dict[str, str]:
    """Title (the file's name without its ending) → text, in the order of the titles.

    Line ends are made one newline each, and stray byte-order marks are taken out.

    Raises:
        ValueError: if the archive is damaged, or holds no book.
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
        raise ValueError(f"{str(archive)!r} is not a whole archive of books: {error}.") from error
    if not found:
        raise ValueError(f"{str(archive)!r} holds no book (files that end in .md).")
    return dict(sorted(found.items()))
