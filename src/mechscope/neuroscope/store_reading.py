"""Read a store's tables and arrays: every call sees one publication as a whole, while another may be under way."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mechscope.near_names import did_you_mean
from mechscope.neuroscope.connections import FILE, open_for_reading
from mechscope.neuroscope.contents import About
from mechscope.neuroscope.schema import SchemaError
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.units import Histogram, UnitAddress, UnitStatistics
from mechscope.reading import open_safetensors

ATTEMPTS = 5
"""How often a read is repeated if a publication replaces the arrays under it."""


class NothingPublishedError(ValueError):
    """A store has no contents yet."""


@dataclass(frozen=True)
class StoredSite:
    """A site as it is stored."""

    name: str
    """Its name in addresses."""
    units: int
    """How many units it has."""
    signed: bool
    """Whether negative activations matter as much as positive ones."""
    source: str
    """What `find_sites` needs to find it again."""
    left_out: int
    """How many tokens were left out as attention sinks."""
    first: int
    """The number of its first unit; numbers count through all sites of the store."""


class Snapshot:
    """One publication, as the connection sees it within a transaction."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, about: dict[str, str]) -> None:
        self.connection, self.folder, self.raw_about = connection, folder, about
        self.publication = int(about["publication"])
        self.token_type = np.dtype(about["token_type"])
        self._texts: dict[int, str] = {}

    @cached_property
    def about(self) -> About:
        """Where the contents come from."""
        # Older stores do not have the last of these.
        raw = {"site_inputs": "{}"} | self.raw_about
        values: dict[str, Any] = {field.name: raw[field.name] for field in fields(About)}
        for name in ("tokens", "documents", "co_activation_tokens", "publication"):
            values[name] = int(values[name])
        return About(**values | {name: json.loads(values[name]) for name in ("settings", "site_inputs")})

    @cached_property
    def sites(self) -> dict[str, StoredSite]:
        """The sites by name."""
        rows = self.connection.execute(
            "SELECT name, units, signed, source, left_out, first FROM sites ORDER BY id"
        )
        return {
            name: StoredSite(name, units, bool(signed), source, left_out, first)
            for name, units, signed, source, left_out, first in rows
        }

    @cached_property
    def arrays(self) -> Any:
        """The file of statistics and histograms, whose tensors are read on demand."""
        return open_safetensors(
            self.folder / self.raw_about["arrays"], "np", fix="Publish the harvest again."
        )

    def site(self, name: str) -> StoredSite:
        """A site by its name.

        Raises:
            KeyError: for an unknown site; names the closest one.
        """
        if name not in self.sites:
            raise KeyError(
                f"the store of {self.about.model} has no site {name!r}.{did_you_mean(name, self.sites)} It has: "
                f"{', '.join(self.sites)}."
            )
        return self.sites[name]

    def number(self, address: UnitAddress) -> int:
        """The number of a unit.

        Raises:
            KeyError: for a unit that the store does not have.
            ValueError: for a unit of another model.
        """
        if address.model != self.about.model:
            raise ValueError(
                f"{address} is a unit of {address.model}, but this store is of {self.about.model}."
            )
        site = self.site(address.site)
        if not 0 <= address.unit < site.units:
            raise KeyError(
                f"{address.site} has units 0 to {site.units - 1}; there is no unit {address.unit}."
            )
        return site.first + address.unit

    def address(self, number: int) -> UnitAddress:
        """The address of a unit, from its number."""
        site = next(site for site in reversed(self.sites.values()) if site.first <= number)
        return UnitAddress(self.about.model, site.name, number - site.first)

    def statistics(self, site: str) -> SiteStatistics:
        """The statistics of a site's units."""
        return SiteStatistics(
            **{field.name: self.arrays.get_tensor(f"{site}/{field.name}") for field in fields(SiteStatistics)}
        )

    def unit_statistics(self, address: UnitAddress) -> UnitStatistics:
        """The statistics of one unit, without reading those of the others."""
        row = slice(address.unit, address.unit + 1)
        arrays = {
            field.name: self.arrays.get_slice(f"{address.site}/{field.name}")[row]
            for field in fields(SiteStatistics)
        }
        return SiteStatistics(**arrays).of(0)

    def histogram(self, address: UnitAddress) -> Histogram:
        """One unit's histogram, without the empty bins at its ends."""
        row = slice(address.unit, address.unit + 1)
        counts = self.arrays.get_slice(f"{address.site}/counts")[row][0]
        edges = self.arrays.get_tensor(f"{address.site}/edges")
        used = np.flatnonzero(counts)
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, len(counts))
        return Histogram(tuple(edges[low : high + 1].tolist()), tuple(counts[low:high].tolist()))

    def texts(self, tokens: Iterable[int]) -> dict[int, str]:
        """The texts of tokens."""
        wanted = set(tokens)
        missing = [token for token in wanted if token not in self._texts]
        for begin in range(0, len(missing), 500):
            some = missing[begin : begin + 500]
            marks = ", ".join("?" * len(some))
            self._texts.update(
                self.connection.execute(f"SELECT token, text FROM vocabulary WHERE token IN ({marks})", some)
            )
        return {token: self._texts[token] for token in wanted}


class StoreReader:
    """An open store; may be used from several threads, which then take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._connection = open_for_reading(folder / FILE)
        self._snapshot: Snapshot | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def snapshot(self) -> Generator[Snapshot]:
        """The current publication; within the block, all reads see the same one.

        Raises:
            NothingPublishedError: before the first publication.
            SchemaError: if the database is found to be damaged.
        """
        with self._lock:
            if self._connection.in_transaction:  # within another block of this thread
                assert self._snapshot is not None
                yield self._snapshot
                return
            for attempt in range(ATTEMPTS):
                self._connection.execute("BEGIN")
                try:
                    self._snapshot = self._current()
                    # Opened within the transaction: a publication removes the file of the one before.
                    _ = self._snapshot.arrays
                except FileNotFoundError:
                    self._connection.execute("ROLLBACK")
                    self._snapshot = None
                    if attempt == ATTEMPTS - 1:
                        raise
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                else:
                    break
            try:
                assert self._snapshot is not None
                yield self._snapshot
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                raise SchemaError(
                    f"{self.folder / FILE} is damaged ({error}). `mechscope neuroscope check` says where; publish the "
                    "harvest again."
                ) from error
            finally:
                self._connection.execute("ROLLBACK")

    def _current(self) -> Snapshot:
        about = dict(self._connection.execute("SELECT key, value FROM about"))
        if not about:
            raise NothingPublishedError(
                f"{self.folder} is a neuroscope store without contents: no harvest has been published there yet."
            )
        if self._snapshot is not None and self._snapshot.publication == int(about["publication"]):
            return self._snapshot
        return Snapshot(self._connection, self.folder, about)
