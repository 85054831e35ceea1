"""Open the file of a store for reading or for writing, with errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mechscope.neuroscope.database_errors import SchemaError, saying_what_failed
from mechscope.neuroscope.schema import VERSION, create, migrate, version_of
from mechscope.storage.files import check_folder

FILE = "neuroscope.sqlite"
"""The name of the file in the folder of a store."""
WAIT = 60.0
"""Seconds that a writer waits for another one."""
IF_DAMAGED = "Move it away, and publish the harvest again."
MAPPED = 2**28
"""How many bytes of the file a reader maps into memory."""


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the store, and that may be used from several threads, one at a time.

    Readers and a writer do not disturb each other. A store of an older version is brought up to date first.

    Raises:
        FileNotFoundError: if there is no store.
        SchemaError: for a file that is no store, or that a newer version has written.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no neuroscope store in {path.parent}. `mechscope neuroscope harvest MODEL` makes one."
        )
    connection = _connect_read_only(path)
    try:
        is_old = version_of(connection, path) < VERSION
    except BaseException:
        connection.close()
        raise
    if is_old:
        connection.close()
        _bring_up_to_date(path)
        connection = _connect_read_only(path)
    connection.execute(f"PRAGMA mmap_size = {MAPPED}")
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    # On a read-only disk SQLite cannot make the files beside the database that readers and writers share. Nobody can
    # write there, so it is safe to say that the file does not change.
    for options in ("mode=ro", "mode=ro&immutable=1"):
        try:
            connection = sqlite3.connect(
                f"{address}?{options}", uri=True, isolation_level=None, timeout=WAIT, check_same_thread=False
            )
            try:
                connection.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError:
                connection.close()
                raise
            except sqlite3.DatabaseError:
                pass  # no database; `version_of` says so
        except sqlite3.OperationalError as error:
            if "immutable" in options or can_write(path.parent):
                raise OSError(f"the neuroscope store {path} cannot be read ({error}).") from error
        else:
            return connection
    raise AssertionError("the second attempt returns or raises")


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder."""
    try:
        check_folder(folder)
    except OSError:
        return False
    return True


def _bring_up_to_date(path: Path) -> None:
    if not can_write(path.parent):
        raise SchemaError(
            f"{path} was written by an older mechscope, and its folder is read-only, so it cannot be brought up to "
            "date there. Copy the folder to one that you can write to."
        )
    with writing(path):
        pass


@contextmanager
def writing(path: Path) -> Generator[sqlite3.Connection]:
    """A connection for changes, to a store that is created if it is missing and brought up to date if it is old.

    Begin transactions yourself (`BEGIN IMMEDIATE`); one that is open when the block is left is rolled back.

    Raises:
        NotKeptError: if the disk is full; the store is then as it was.
        SchemaError: see `open_for_reading`.
        OSError: if another process writes for longer than `WAIT` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists() or not path.stat().st_size
    with saying_what_failed(path, WAIT, IF_DAMAGED):
        connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT)
        try:
            if is_new:
                connection.execute("PRAGMA journal_mode = WAL")
                create(connection)
            else:
                migrate(connection, path)
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
        finally:
            connection.close()
