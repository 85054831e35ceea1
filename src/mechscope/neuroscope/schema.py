"""The tables of a store, how their bytes are to be read, and how a store of an older version becomes a new one.

The file is an SQLite database with this project's `application_id`; its `user_version` is the version of the tables.
Everything in it is written anew whenever a harvest is published, so its tables can be dropped and filled within one
transaction. Labels are the users' own work: they are in a file of their own (`label_file`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mechscope.neuroscope.database_errors import SchemaError
from mechscope.neuroscope.label_file import move_labels_out

APPLICATION = 0x4D53_4E53
"""The `application_id`, by which the file is recognised."""
VERSION = 2
"""The version of the tables below."""

KINDS = ("top", "low", "quantile", "random")
"""What the numbers in the column `kind` of `contexts` stand for."""
NEIGHBOUR = np.dtype([("unit", "<i4"), ("similarity", "<f4")])
"""An entry of `by_weights` and `by_activation`."""
EFFECT = np.dtype([("token", "<i4"), ("effect", "<f4")])
"""An entry of `promoted` and `suppressed`."""
VALUE = np.dtype("<f2")
"""An activation in the window of a context."""

CONTENTS: Mapping[str, str] = {
    "about": "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "sites": """
        CREATE TABLE sites (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            first INTEGER NOT NULL,     -- the number of its unit 0; numbers count through all sites
            units INTEGER NOT NULL,
            source TEXT NOT NULL,       -- what `find_sites` needs to find it again
            signed INTEGER NOT NULL,    -- 1 if negative activations matter as much as positive ones
            left_out INTEGER NOT NULL   -- tokens that were left out as attention sinks
        )""",
    "vocabulary": "CREATE TABLE vocabulary (token INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "documents": "CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "sequences": """
        CREATE TABLE sequences (
            id INTEGER PRIMARY KEY,
            document INTEGER NOT NULL REFERENCES documents,
            tokens BLOB NOT NULL,       -- whole numbers of the type in about.token_type
            counted BLOB                -- only in the random sample: one byte per token, 0 for attention sinks
        )""",
    "units": """
        CREATE TABLE units (
            id INTEGER PRIMARY KEY,     -- sites.first + the unit's index at its site
            promoted BLOB,              -- EFFECT, the largest first; NULL without output weights
            suppressed BLOB,
            by_weights BLOB NOT NULL,   -- NEIGHBOUR, the most similar first
            by_activation BLOB NOT NULL -- NEIGHBOUR, of any site
        )""",
    # Clustered by unit, so that a unit's contexts lie side by side on the disk.
    "contexts": """
        CREATE TABLE contexts (
            unit INTEGER NOT NULL,
            kind INTEGER NOT NULL,      -- KINDS
            rank INTEGER NOT NULL,
            value REAL NOT NULL,
            sequence INTEGER NOT NULL REFERENCES sequences,
            focus INTEGER NOT NULL,     -- position in the sequence
            start INTEGER NOT NULL,     -- position of the first token that is shown
            activations BLOB NOT NULL,  -- VALUE, one per token that is shown
            quantile REAL,
            PRIMARY KEY (unit, kind, rank)
        ) WITHOUT ROWID""",
    # For every token, the units whose top contexts are kept for it.
    "firing_tokens": """
        CREATE TABLE firing_tokens (
            token INTEGER NOT NULL,
            unit INTEGER NOT NULL,
            contexts INTEGER NOT NULL,  -- how many of the unit's top contexts have their focus on the token
            highest REAL NOT NULL,
            PRIMARY KEY (token, unit)
        ) WITHOUT ROWID""",
    # Texts can be rebuilt from the tokens, so the index keeps no copy of them.
    "sequence_text": "CREATE VIRTUAL TABLE sequence_text USING fts5(text, content='', tokenize='unicode61')",
}
"""The tables that publishing fills, in the order in which they are made."""
INDEXES: Mapping[str, str] = {
    "contexts_by_sequence": "CREATE INDEX contexts_by_sequence ON contexts (sequence)",
}
MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], object]] = {1: move_labels_out}
"""For each older version, the function that turns its tables into those of the next one, within a transaction."""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new store, without contents, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for statement in (*CONTENTS.values(), *INDEXES.values()):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def drop_contents(connection: sqlite3.Connection) -> None:
    """Replace the tables that publishing fills by empty ones, within the caller's transaction.

    The index over contexts is missing afterwards: it is made faster once the table is full (`create_indexes`).
    """
    for name in CONTENTS:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in CONTENTS.values():
        connection.execute(statement)


def create_indexes(connection: sqlite3.Connection) -> None:
    """Make the indexes of the tables that publishing fills."""
    for statement in INDEXES.values():
        connection.execute(statement)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a store's tables.

    Raises:
        SchemaError: for a file that is no store, or that a newer version has written.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise SchemaError(
            f"{path} is not a neuroscope store: {error}. `mechscope neuroscope harvest` makes one."
        ) from error
    if application != APPLICATION:
        raise SchemaError(
            f"{path} is an SQLite database of another program, not a neuroscope store. Choose another folder."
        )
    if version > VERSION:
        raise SchemaError(
            f"{path} was written by a newer mechscope (version {version} of the tables; this one reads up to "
            f"{VERSION}). Update mechscope, or harvest into another folder."
        )
    return version


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables of an older store up to date in one transaction; does nothing if they are.

    Raises:
        SchemaError: see `version_of`.
    """
    if version_of(connection, path) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Another process may have migrated the store before the lock was ours.
        for version in range(version_of(connection, path), VERSION):
            MIGRATIONS[version](connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
