"""The file with a store's labels, which lies beside the database with everything else.

A publication holds the database of a store for as long as it computes, and SQLite lets one process write to a file at a
time. Labels are a file of their own so that they can be written meanwhile. Every change takes milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mechscope.neuroscope.database_errors import SchemaError, saying_what_failed

LABEL_FILE = "labels.sqlite"
"""Its name in the folder of a store."""
APPLICATION = 0x4D53_4E4C
"""The `application_id`, by which the file is recognised."""
VERSION = 1
"""The version of the tables below."""
WAIT = 10.0
"""Seconds that a change waits for another one."""
IF_DAMAGED = "Move it away to go on without the labels, or put a backup in its place."

TABLES: Mapping[str, str] = {
    "labels": """
        CREATE TABLE labels (
            id INTEGER PRIMARY KEY,
            site TEXT NOT NULL,
            unit INTEGER NOT NULL,
            label TEXT NOT NULL,
            rule_kind TEXT NOT NULL,    -- empty for a label without a rule
            rule TEXT NOT NULL,
            scores TEXT NOT NULL,       -- a JSON object; empty before it is scored
            created TEXT NOT NULL       -- ISO 8601 in UTC
        )""",
    "labels_by_unit": "CREATE INDEX labels_by_unit ON labels (site, unit)",
    "label_text": """
        CREATE VIRTUAL TABLE label_text
        USING fts5(label, rule, content='labels', content_rowid='id', tokenize='unicode61')""",
    "label_added": """
        CREATE TRIGGER label_added AFTER INSERT ON labels BEGIN
            INSERT INTO label_text (rowid, label, rule) VALUES (new.id, new.label, new.rule);
        END""",
    "label_removed": """
        CREATE TRIGGER label_removed AFTER DELETE ON labels BEGIN
            INSERT INTO label_text (label_text, rowid, label, rule) VALUES ('delete', old.id, old.label, old.rule);
        END""",
    "label_changed": """
        CREATE TRIGGER label_changed AFTER UPDATE ON labels BEGIN
            INSERT INTO label_text (label_text, rowid, label, rule) VALUES ('delete', old.id, old.label, old.rule);
            INSERT INTO label_text (rowid, label, rule) VALUES (new.id, new.label, new.rule);
        END""",
}
"""Labels, their scores, and an index over their texts."""


@contextmanager
def reading_labels(folder: Path) -> Generator[sqlite3.Connection | None]:
    """A connection for questions; None if nobody has written a label yet.

    Raises:
        SchemaError: for a file that has no labels, or that a newer version has written.
        OSError: if it cannot be read, or another process writes for longer than `WAIT` seconds.
    """
    path = folder / LABEL_FILE
    if not path.is_file() or not path.stat().st_size:
        yield None
        return
    with _connection(path) as connection:
        connection.execute("PRAGMA query_only = 1")
        _check_version(connection, path)
        yield connection


@contextmanager
def writing_labels(folder: Path) -> Generator[sqlite3.Connection]:
    """A connection within a transaction, which is committed at the end; the file is created if it is missing.

    Raises:
        NotKeptError: if the disk is full; the labels are then as they were.
        SchemaError, OSError: see `reading_labels`.
    """
    path = folder / LABEL_FILE
    with _connection(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            # Within the lock: two processes may write the first label at the same time.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in TABLES.values():
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            _check_version(connection, path)
            yield connection


def move_labels_out(connection: sqlite3.Connection) -> None:
    """Move the labels of a store of version 1, which are in its database, to their own file.

    If this process is killed in between, the labels are in both files, and the next one does the same again.

    Args:
        connection: to the database of the store, within a transaction.
    """
    columns = "id, site, unit, label, rule_kind, rule, scores, created"
    folder = Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent
    rows: list[tuple[Any, ...]] = connection.execute(f"SELECT {columns} FROM labels").fetchall()
    if rows:
        with writing_labels(folder) as labels:
            labels.executemany(
                f"INSERT OR IGNORE INTO labels ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
    for name in ("label_text", "labels"):
        connection.execute(f"DROP TABLE {name}")


def damage_of_labels(folder: Path) -> Iterable[str]:
    """What is wrong with the file, one sentence each."""
    try:
        with reading_labels(folder) as connection:
            found = [] if connection is None else connection.execute("PRAGMA integrity_check").fetchall()
    except SchemaError as error:
        return [str(error)]
    return [f"the labels are damaged: {what}." for (what,) in found if what != "ok"]


@contextmanager
def _connection(path: Path) -> Generator[sqlite3.Connection]:
    with saying_what_failed(path, WAIT, IF_DAMAGED):
        connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT)
        try:
            yield connection
        finally:
            connection.close()


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise SchemaError(
            f"{path} is an SQLite database of another program, not one of labels. Move it away."
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise SchemaError(
            f"{path} was written by a newer mechscope (version {version} of the tables; this one reads up to "
            f"{VERSION}). Update mechscope."
        )
