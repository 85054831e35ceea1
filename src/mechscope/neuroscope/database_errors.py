"""What goes wrong with the databases of a store, in sentences that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mechscope.storage.files import FULL, NotKeptError


class SchemaError(ValueError):
    """A file is not a database that this version can read; says what it is and what to do."""


@contextmanager
def saying_what_failed(path: Path, wait: float, if_damaged: str) -> Generator[None]:
    """Turn the errors of SQLite within the block into sentences.

    Args:
        path: the database.
        wait: how many seconds a writer waits for another one.
        if_damaged: what to do about a damaged file, as a sentence.

    Raises:
        NotKeptError: if the disk is full.
        SchemaError: if the file is damaged.
        OSError: if another process writes for longer than `wait` seconds, or the file cannot be read or written to.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "disk is full" in str(error) or "disk I/O" in str(error):
            raise NotKeptError(path, OSError(FULL[0], str(error))) from error
        if "locked" in str(error) or "busy" in str(error):
            raise OSError(
                f"{path} is in use: another process has been writing to it for {wait:.0f} seconds. Wait until it has "
                "finished, and try again."
            ) from error
        if "readonly" in str(error) or "unable to open" in str(error):
            raise OSError(
                f"{path} cannot be written to ({error}). Make its folder writable, or choose another one."
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        raise SchemaError(f"{path} is damaged ({error}). {if_damaged}") from error
