"""Compare two harvests, or two stores, byte for byte."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechscope.near_names import did_you_mean
from mechscope.neuroscope.finished_harvest import FinishedHarvest, read_harvest
from mechscope.neuroscope.plan import PLAN
from mechscope.reading import read_safetensors
from mechscope.runs.config_diff import config_diff

WORK = "harvest"
"""The subfolder of a store's folder in which its harvest works."""
OWN = ("published", "publication", "arrays", "arrays_sha256")
"""What a store says about itself and not about its contents: when and how often it was written, and into which file."""
MOST_SHOWN = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two folders."""

    what: str
    """What they are: "harvests" or "stores"."""
    difference: str
    """The first difference in words; empty if they are equal."""
    size: int = 0
    """How many bytes were compared."""
    digest: str = ""
    """The SHA-256 of these bytes, if they are equal."""


def compare(one: str | Path, other: str | Path) -> Comparison:
    """Compare two harvests (their plans and all bytes of their merged states) or two stores (all tables and arrays).

    Labels are left out, since people write them, and so is the time of publication.

    Args:
        one: a folder, or the name of a model that has a store.
        other: another one.

    Raises:
        FileNotFoundError: for a folder that does not exist, or has neither a finished harvest nor a store.
        ValueError: for a harvest and a store, and for damaged files.
    """
    from mechscope.neuroscope.connections import FILE

    folders = (_folder(one), _folder(other))
    stores = [(folder / FILE).is_file() for folder in folders]
    if all(stores):
        return _compare_stores(*folders)
    works = [folder / WORK if (folder / WORK / PLAN).is_file() else folder for folder in folders]
    if any(stores) and not all((work / PLAN).is_file() for work in works):
        store, rest = folders if stores[0] else folders[::-1]
        raise ValueError(
            f"{store} is a store, and {rest} is not: give two stores, or two folders of harvests (a store's is in "
            f"{store / WORK})."
        )
    return _compare_harvests(read_harvest(works[0]), read_harvest(works[1]))


def _folder(place: str | Path) -> Path:
    from mechscope.neuroscope.folders import known_stores

    folder = Path(place)
    if folder.exists():
        return folder
    known = known_stores()
    if str(place) not in known:
        raise FileNotFoundError(
            f"there is no folder {place}, and no store of a model with this name.{did_you_mean(str(place), known)}"
        )
    return known[str(place)]


def _compare_harvests(one: FinishedHarvest, other: FinishedHarvest) -> Comparison:
    what = "harvests"
    plans = config_diff(one.plan.to_dict(), other.plan.to_dict(), "in the first", "in the second")
    sizes = config_diff(
        {"shards": one.finished.shards, "tokens": one.finished.tokens},
        {"shards": other.finished.shards, "tokens": other.finished.tokens},
        "in the first",
        "in the second",
    )
    if plans or sizes:
        return Comparison(what, "; ".join([*plans, *sizes]))
    states = (one.state(), other.state())
    if difference := _differing_tensor(states[0].to_tensors(), states[1].to_tensors()):
        return Comparison(what, difference)
    first, second = (state.to_bytes() for state in states)
    if first != second:
        return Comparison(what, "the tensors are equal, but their files are not")
    return Comparison(what, "", len(first), hashlib.sha256(first).hexdigest())


def _differing_tensor(one: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    """The first difference between tensors of the same names, in words; empty if there is none."""
    for name in sorted({*one, *other}):
        if name not in one or name not in other:
            return f"only the {'first' if name in one else 'second'} has {name}"
        a, b = one[name], other[name]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{name} is {a.dtype} {list(a.shape)} in the first and {b.dtype} {list(b.shape)} in the second"
        # As bytes: NaN is equal to NaN, and 0 is not equal to −0.
        differs = (_as_bytes(a) != _as_bytes(b)).view(*a.shape, -1).any(-1)
        if bool(differs.any()):
            index = tuple(int(axis) for axis in differs.nonzero()[0])
            return (
                f"{name} differs in {int(differs.sum()):,} of {differs.numel():,} values, first at {list(index)}: "
                f"{a[index].item()!r} in the first and {b[index].item()!r} in the second"
            )
    return ""


def _as_bytes(x: Tensor) -> Tensor:
    return x.contiguous().flatten().view(torch.uint8) if x.numel() else x.new_zeros(0, dtype=torch.uint8)


def _compare_stores(one: Path, other: Path) -> Comparison:
    from mechscope.neuroscope.connections import FILE, open_for_reading

    what, digest, size = "stores", hashlib.sha256(), 0
    with closing(open_for_reading(one / FILE)) as first, closing(open_for_reading(other / FILE)) as second:
        for connection in (first, second):
            # A publication that is under way must not be seen in the middle.
            connection.execute("BEGIN")
        if differences := config_diff(
            _about(first), _about(second), "in the first", "in the second", show=_shown
        ):
            return Comparison(what, "; ".join(differences))
        for table in _tables():
            for a, b in zip_longest(_rows(first, table), _rows(second, table)):
                if a != b:
                    return Comparison(what, _differing_row(table, _names(first, table), a, b))
                data = repr(a).encode()
                digest.update(data)
                size += len(data)
        # Beside the file that belongs to the tables, one of a publication that was killed may lie.
        arrays = [
            dict[str, Tensor](read_safetensors(folder / _value(connection, "arrays")))
            for folder, connection in ((one, first), (other, second))
        ]
    if difference := _differing_tensor(*arrays):
        return Comparison(what, f"in the arrays, {difference}")
    for _, tensor in sorted(arrays[0].items()):
        data = _as_bytes(tensor).numpy().tobytes()
        digest.update(data)
        size += len(data)
    return Comparison(what, "", size, digest.hexdigest())


def _about(connection: sqlite3.Connection) -> dict[str, Any]:
    """What a store says about its contents, with the settings as a table of their own."""
    found = dict(_rows(connection, "about"))
    return found | {"settings": json.loads(found.get("settings", "{}"))}


def _value(connection: sqlite3.Connection, key: str) -> str:
    return connection.execute("SELECT value FROM about WHERE key = ?", [key]).fetchone()[0]


def _tables() -> list[str]:
    from mechscope.neuroscope.schema import CONTENTS

    # Full-text indexes are made from the other tables, and keep no text.
    return [name for name, statement in CONTENTS.items() if "VIRTUAL" not in statement]


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table in the order of its key."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [row[1] for row in sorted(columns, key=lambda row: row[5]) if row[5]]
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY {', '.join(keys) or 'rowid'}"):
        if table != "about" or row[0] not in OWN:
            yield tuple(row)


def _names(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _differing_row(table: str, names: list[str], a: tuple[Any, ...] | None, b: tuple[Any, ...] | None) -> str:
    if a is None or b is None:
        there, row = ("first", a) if b is None else ("second", b)
        return f"only the {there} has the row {_shown(row)} of {table}"
    for name, x, y in zip(names, a, b, strict=True):
        if x != y:
            return (
                f"in {table}, {name} of the row that begins with {_shown(a[0])} is {_shown(x)} in the first and "
                f"{_shown(y)} in the second"
            )
    return f"{table} differs"


def _shown(value: object) -> str:
    words = repr(value)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"
