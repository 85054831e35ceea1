"""Write the contents of a store in one transaction, so that readers see either the old contents or the new ones."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from mechscope.neuroscope.connections import FILE, open_for_reading, writing
from mechscope.neuroscope.contents import About, Contents, SiteContents, StoredSequence, StoredUnit
from mechscope.neuroscope.schema import EFFECT, KINDS, NEIGHBOUR, VALUE, create_indexes, drop_contents
from mechscope.storage.files import check_folder, write_atomically

ARRAYS = "arrays-{}.safetensors"
"""The name of the file with statistics and histograms, after the number of the publication."""


def write_contents(folder: Path, contents: Contents) -> About:
    """Replace the contents of the store in a folder, which is created if it is missing; labels stay.

    Raises:
        ValueError: if the store is of another model; nothing is changed.
        NotKeptError: if the disk is full; the old contents are then still there.
    """
    path = folder / FILE
    with writing(path) as connection:
        # The lock comes first: two publications must not take the same number.
        connection.execute("BEGIN IMMEDIATE")
        old = _about(connection)
        _check_model(folder, old, contents.about.model)
        publication = int(old.get("publication", 0)) + 1
        arrays = folder / ARRAYS.format(publication)
        try:
            about = _write(connection, contents, publication, arrays)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            arrays.unlink(missing_ok=True)
            raise
        for other in folder.glob(ARRAYS.format("*")):
            if other != arrays:
                with suppress(
                    OSError
                ):  # Windows keeps files that somebody reads; the next publication removes them
                    other.unlink()
        # Otherwise the log would stay as large as the contents.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return about


def check_destination(folder: Path, model: str) -> None:
    """Check that a harvest of a model can be published in a folder, before the harvest begins.

    Raises:
        OSError: if the folder cannot be written to.
        SchemaError: if it has a file of another kind, or the store of a newer version.
        ValueError: if it has the store of another model.
    """
    check_folder(folder)
    if not (folder / FILE).is_file():
        return
    connection = open_for_reading(folder / FILE)
    try:
        _check_model(folder, _about(connection), model)
    finally:
        connection.close()


def _check_model(folder: Path, about: Mapping[str, str], model: str) -> None:
    if about.get("model", model) != model:
        raise ValueError(
            f"{folder} is the store of {about['model']}, and this is a harvest of {model}. Choose another folder for "
            "it."
        )


def _about(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM about"))


def _write(connection: sqlite3.Connection, contents: Contents, publication: int, arrays: Path) -> About:
    drop_contents(connection)
    vocabulary = dict(contents.vocabulary)
    connection.executemany("INSERT INTO vocabulary VALUES (?, ?)", vocabulary.items())
    firsts = _firsts(contents.site_sizes)
    tensors: dict[str, np.ndarray] = {}
    for site in contents.sites:
        size = contents.site_sizes[site.name]
        connection.execute(
            "INSERT INTO sites (name, first, units, source, signed, left_out) VALUES (?, ?, ?, ?, ?, ?)",
            (site.name, firsts[site.name], size, site.source, int(site.signed), site.left_out),
        )
        for number, unit in enumerate(site.units, firsts[site.name]):
            _write_unit(connection, number, unit, firsts[site.name])
        tensors |= _tensors(site)
    token_type = np.dtype("<u2" if max(vocabulary, default=0) < 2**16 else "<u4")
    _write_sequences(connection, contents.sequences, vocabulary, token_type)
    for found in contents.co_activation:
        near = [(firsts[site] + unit, correlation) for site, unit, correlation in found.neighbours]
        connection.execute(
            "UPDATE units SET by_activation = ? WHERE id = ?",
            (np.array(near, NEIGHBOUR).tobytes(), firsts[found.site] + found.unit),
        )
    create_indexes(connection)
    about = dataclasses.replace(
        contents.about,
        publication=publication,
        published=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    kept = dataclasses.asdict(about) | {
        name: json.dumps(getattr(about, name), sort_keys=True) for name in ("settings", "site_inputs")
    }
    kept |= {
        "token_type": token_type.str,
        "arrays": arrays.name,
        "arrays_sha256": _write_arrays(arrays, tensors),
    }
    connection.executemany(
        "INSERT INTO about VALUES (?, ?)", [(key, str(value)) for key, value in kept.items()]
    )
    return about


def _firsts(sizes: Mapping[str, int]) -> dict[str, int]:
    """The number of each site's first unit."""
    ends = itertools.accumulate(sizes.values(), initial=0)
    return dict(zip(sizes, ends, strict=False))


def _write_sequences(
    connection: sqlite3.Connection,
    sequences: Iterable[StoredSequence],
    vocabulary: Mapping[int, str],
    token_type: np.dtype,
) -> None:
    documents: dict[str, int] = {}
    for sequence in sequences:
        if sequence.document not in documents:
            documents[sequence.document] = len(documents)
            connection.execute(
                "INSERT INTO documents VALUES (?, ?)", (documents[sequence.document], sequence.document)
            )
        counted = None if sequence.counted is None else sequence.counted.astype(np.uint8).tobytes()
        connection.execute(
            "INSERT INTO sequences VALUES (?, ?, ?, ?)",
            (
                sequence.id,
                documents[sequence.document],
                sequence.tokens.astype(token_type).tobytes(),
                counted,
            ),
        )
        text = "".join(vocabulary[token] for token in sequence.tokens.tolist())
        connection.execute("INSERT INTO sequence_text (rowid, text) VALUES (?, ?)", (sequence.id, text))


def _write_unit(connection: sqlite3.Connection, number: int, unit: StoredUnit, first: int) -> None:
    by_weights = np.array([(first + other, near) for other, near in unit.by_weights], NEIGHBOUR)
    connection.execute(
        "INSERT INTO units VALUES (?, ?, ?, ?, ?)",
        (number, _effects(unit.promoted), _effects(unit.suppressed), by_weights.tobytes(), b""),
    )
    ranks: Counter[str] = Counter()
    fired: Counter[int] = Counter()
    highest: dict[int, float] = {}
    largest = float(np.finfo(VALUE).max)
    for context in unit.contexts:
        shown = context.activations.clip(-largest, largest).astype(VALUE)
        connection.execute(
            "INSERT INTO contexts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                KINDS.index(context.kind),
                ranks[context.kind],
                context.value,
                context.sequence,
                context.focus,
                context.start,
                shown.tobytes(),
                context.quantile,
            ),
        )
        ranks[context.kind] += 1
        if context.kind == "top":
            fired[context.token] += 1
            highest[context.token] = max(context.value, highest.get(context.token, context.value))
    connection.executemany(
        "INSERT INTO firing_tokens VALUES (?, ?, ?, ?)",
        [(token, number, count, highest[token]) for token, count in fired.items()],
    )


def _effects(effects: tuple[tuple[int, float], ...] | None) -> bytes | None:
    return None if effects is None else np.array(list(effects), EFFECT).tobytes()


def _tensors(site: SiteContents) -> dict[str, np.ndarray]:
    """A site's arrays by name; bins beyond the first and the last one that is used are left out."""
    counts = np.asarray(site.counts)
    used = np.flatnonzero(counts.any(0))
    low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    counts = counts[:, low:high]
    edges = np.asarray(site.edges, np.float64)[low : high + 1].copy()
    # The outermost bins have no outer border of their own.
    statistics = site.statistics
    if edges[0] == -np.inf:
        edges[0] = min(edges[1], float(statistics.minimum.min()))
    if edges[-1] == np.inf:
        edges[-1] = max(edges[-2], np.nextafter(statistics.maximum.max(), np.inf))
    narrow = np.uint32 if counts.max(initial=0) < 2**32 else np.uint64
    tensors = {
        field.name: np.ascontiguousarray(getattr(statistics, field.name))
        for field in dataclasses.fields(statistics)
    }
    tensors |= {"edges": edges, "counts": counts.astype(narrow)}
    return {f"{site.name}/{name}": tensor for name, tensor in tensors.items()}


def _write_arrays(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """Write the arrays, and return the checksum of the file."""
    from safetensors.numpy import save

    data = save(dict(tensors))
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()
