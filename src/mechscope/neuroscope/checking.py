"""Check that a store is whole: the database, its references, its counts, and the arrays beside it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mechscope.neuroscope.label_file import damage_of_labels
from mechscope.neuroscope.schema import KINDS, VALUE
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.store_reading import Snapshot

MOST_LISTED = 20
"""How many problems of one kind are listed."""
_REFERENCES = {
    "contexts of units that do not exist": (
        "SELECT count(*) FROM contexts LEFT JOIN units ON units.id = unit WHERE units.id IS NULL"
    ),
    "contexts in sequences that do not exist": (
        "SELECT count(*) FROM contexts LEFT JOIN sequences ON sequences.id = sequence WHERE sequences.id IS NULL"
    ),
    "sequences of documents that do not exist": (
        "SELECT count(*) FROM sequences LEFT JOIN documents ON documents.id = document WHERE documents.id IS NULL"
    ),
    "firing tokens without a text": (
        "SELECT count(*) FROM firing_tokens LEFT JOIN vocabulary USING (token) WHERE vocabulary.token IS NULL"
    ),
    "contexts of an unknown kind": f"SELECT count(*) FROM contexts WHERE kind NOT BETWEEN 0 AND {len(KINDS) - 1}",
    "top contexts that the index of firing tokens does not count": (
        "SELECT (SELECT count(*) FROM contexts WHERE kind = 0) - (SELECT ifnull(sum(contexts), 0) FROM firing_tokens)"
    ),
}


@dataclass(frozen=True)
class StoreCheck:
    """The result of a check."""

    problems: tuple[str, ...]
    """What is wrong, one sentence each; empty for a store that is whole."""
    counts: dict[str, int]
    """How many sites, units, contexts, sequences, documents and labels there are; empty if the database is damaged."""
    notes: tuple[str, ...]
    """What is not wrong but worth knowing."""


def check_store(folder: Path) -> StoreCheck:
    """Check a store.

    Raises:
        FileNotFoundError: if there is none.
        SchemaError: for a file that is no store, or that a newer version has written.
    """
    with NeuroscopeStore(folder) as store, store.reader.snapshot() as snapshot:
        if damage := [*_damage(snapshot)]:
            # What a damaged database says about its contents means nothing.
            return StoreCheck(tuple(damage), {}, ())
        label_damage = [*damage_of_labels(folder)]
        problems = [
            *_references(snapshot),
            *_units(snapshot),
            *_windows(snapshot),
            *_arrays(snapshot),
            *label_damage,
        ]
        tables = ("sites", "units", "contexts", "sequences", "documents")
        counts = {table: _one(snapshot, f"SELECT count(*) FROM {table}") for table in tables}
        labels = () if label_damage else store.labels.all()
        counts["labels"] = len(labels)
        elsewhere = Counter(
            label.address.site for label in labels if label.address.site not in snapshot.sites
        )
        notes = tuple(
            f"{number} {'label is' if number == 1 else 'labels are'} for {site}, which is not in this publication."
            for site, number in elsewhere.items()
        )
        return StoreCheck(tuple(problems), counts, notes)


def _one(snapshot: Snapshot, question: str) -> int:
    return snapshot.connection.execute(question).fetchone()[0]


def _damage(snapshot: Snapshot) -> Iterator[str]:
    try:
        for (found,) in snapshot.connection.execute(f"PRAGMA integrity_check({MOST_LISTED})"):
            if found != "ok":
                yield f"the database is damaged: {found}."
    except sqlite3.DatabaseError as error:
        yield f"the database is damaged: {error}."


def _references(snapshot: Snapshot) -> Iterator[str]:
    for what, question in _REFERENCES.items():
        if number := _one(snapshot, question):
            yield f"there are {abs(number):,} {what}."


def _units(snapshot: Snapshot) -> Iterator[str]:
    first = 0
    for site in snapshot.sites.values():
        if site.first != first:
            yield f"the units of {site.name} are numbered from {site.first}, not from {first}."
        number = _one(
            snapshot,
            f"SELECT count(*) FROM units WHERE id BETWEEN {site.first} AND {site.first + site.units - 1}",
        )
        if number != site.units:
            yield f"{site.name} has {site.units:,} units, but {number:,} are stored."
        first += site.units


def _windows(snapshot: Snapshot) -> Iterator[str]:
    """Tokens without a text, and windows that do not lie within their sequence or do not have their focus."""
    known = {token for (token,) in snapshot.connection.execute("SELECT token FROM vocabulary")}
    lengths: dict[int, int] = {}
    for number, tokens in snapshot.connection.execute("SELECT id, tokens FROM sequences"):
        found = np.frombuffer(tokens, snapshot.token_type)
        lengths[number] = len(found)
        if unknown := set(found.tolist()) - known:
            yield f"sequence {number} has tokens without a text: {sorted(unknown)[:5]}."
    wrong = sum(
        not (0 <= start <= focus < start + size // VALUE.itemsize <= lengths.get(sequence, 0))
        for sequence, start, focus, size in snapshot.connection.execute(
            "SELECT sequence, start, focus, length(activations) FROM contexts"
        )
    )
    if wrong:
        yield f"{wrong:,} contexts do not lie within their sequence."


def _arrays(snapshot: Snapshot) -> Iterator[str]:
    path = snapshot.folder / snapshot.raw_about["arrays"]
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum != snapshot.raw_about["arrays_sha256"]:
        yield f"{path.name} has changed since it was written (checksum {checksum[:12]}…)."
        return
    names = set(snapshot.arrays.keys())
    for site in snapshot.sites.values():
        for name in (*(field.name for field in fields(SiteStatistics)), "counts"):
            key = f"{site.name}/{name}"
            if key not in names:
                yield f"{path.name} has no {key}."
            elif (length := snapshot.arrays.get_slice(key).get_shape()[0]) != site.units:
                yield f"{key} has {length:,} entries for {site.units:,} units."
