"""A store: everything that is known about the units of one model, ready to be asked."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.arguments import brief_repr, first_line
from mechscope.neuroscope.contents import About
from mechscope.neuroscope.folders import find_store
from mechscope.neuroscope.label_table import LabelTable
from mechscope.neuroscope.schema import EFFECT, KINDS, NEIGHBOUR, VALUE
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.store_reading import Snapshot, StoredSite, StoreReader
from mechscope.neuroscope.units import Context, LogitEffects, Neighbour, UnitAddress, UnitPage


@dataclass(frozen=True)
class SampledSequence:
    """A sequence of the random sample, from which quantile and random contexts are taken."""

    id: int
    """Its number in the store."""
    document: str
    """The name of the document that it comes from."""
    tokens: Int[np.ndarray, " pos"]
    """The ids of its tokens."""
    counted: Bool[np.ndarray, " pos"]
    """False for attention sinks, which statistics leave out."""

    __repr__ = brief_repr


class NeuroscopeStore:
    """A store that is open for reading. Close it, or use it in a `with` statement.

    It never blocks a harvest that is being published, and sees the old contents until that has finished.

    >>> store = open_store("mini-gelu-1l")
    >>> strongest = store.unit("mlp0/109").contexts_of("top")[0]
    >>> strongest.tokens[strongest.focus]
    'i'
    >>> store.statistics("mlp0").maximum.shape
    (256,)
    >>> store.close()
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            FileNotFoundError: if there is no store.
            SchemaError: for a file that is no store, or that a newer version has written.
            NothingPublishedError: for a store without contents.
        """
        self.folder = folder
        self.reader = StoreReader(folder)
        try:
            self.model: str = self.about.model
        except BaseException:
            self.reader.close()
            raise

    @classmethod
    def open(cls, folder_or_model: str | Path) -> NeuroscopeStore:
        """The store in a folder, or a model's store: the user's, or else the one that comes with the package.

        Raises:
            FileNotFoundError: if there is none; names the stores that there are.
            SchemaError: for a file that is no store, or that a newer version has written.
        """
        return cls(find_store(folder_or_model))

    def close(self) -> None:
        """Close the file."""
        self.reader.close()

    def move_to(self, folder: Path) -> None:
        """Read from a copy of this store from now on."""
        if folder != self.folder:
            old, self.reader, self.folder = self.reader, StoreReader(folder), folder
            old.close()

    @property
    def labels(self) -> LabelTable:
        """What users think the units do."""
        return LabelTable(self)

    def __enter__(self) -> NeuroscopeStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"store of {self.model} in {self.folder}{self._summary()}"

    def _summary(self) -> str:
        """What is in the store, for its repr; nothing if it cannot be read any longer."""
        try:
            with self.reader.snapshot():
                about, sites, labels = self.about, self.sites(), len(self.labels.all())
        except (sqlite3.Error, ValueError, OSError) as error:
            return f", which cannot be read: {first_line(error)}"
        lines = [f"{about.tokens:,} tokens of {about.documents:,} documents of {about.corpus}"]
        lines += [f"{site.name}: {site.units:,} units" for site in sites]
        lines.append("1 label" if labels == 1 else f"{labels:,} labels")
        return "".join(f"\n  {line}" for line in lines)

    @property
    def about(self) -> About:
        """The model, its weights, the corpus and the settings."""
        with self.reader.snapshot() as snapshot:
            return snapshot.about

    def sites(self) -> tuple[StoredSite, ...]:
        """The sites in the order in which they were harvested."""
        with self.reader.snapshot() as snapshot:
            return tuple(snapshot.sites.values())

    def address(self, address: UnitAddress | str) -> UnitAddress:
        """Check an address; one without the model, such as "mlp0/17", is completed.

        Raises:
            ValueError: for text that is no address, or a unit of another model.
            KeyError: for a site or a unit that the store does not have.
        """
        if isinstance(address, str):
            in_full = address if address.count("/") > 1 else f"{self.model}/{address}"
            address = UnitAddress.parse(in_full)
        with self.reader.snapshot() as snapshot:
            snapshot.number(address)
        return address

    def unit(self, address: UnitAddress | str) -> UnitPage:
        """Everything that is stored about a unit.

        Raises:
            ValueError, KeyError: see `address`.
        """
        address = self.address(address)
        with self.reader.snapshot() as snapshot:
            number = snapshot.number(address)
            found = snapshot.connection.execute(
                "SELECT promoted, suppressed, by_weights, by_activation FROM units WHERE id = ?", [number]
            ).fetchone()
            promoted, suppressed, by_weights, by_activation = found
            return UnitPage(
                address,
                snapshot.unit_statistics(address),
                snapshot.histogram(address),
                _contexts(snapshot, number),
                None if promoted is None else _logit_effects(snapshot, promoted, suppressed),
                _neighbours(snapshot, by_weights),
                _neighbours(snapshot, by_activation),
            )

    def statistics(self, site: str) -> SiteStatistics:
        """The statistics of all units of a site.

        Raises:
            KeyError: for an unknown site.
        """
        with self.reader.snapshot() as snapshot:
            return snapshot.statistics(snapshot.site(site).name)

    def histograms(self, site: str) -> tuple[Float[np.ndarray, " edge"], Int[np.ndarray, "unit bin"]]:
        """The borders of the bins that a site uses, and every unit's counts.

        Raises:
            KeyError: for an unknown site.
        """
        with self.reader.snapshot() as snapshot:
            name = snapshot.site(site).name
            edges, counts = (snapshot.arrays.get_tensor(f"{name}/{what}") for what in ("edges", "counts"))
            return edges, counts.astype(np.int64)

    def sample(self) -> tuple[SampledSequence, ...]:
        """The random sample of sequences."""
        with self.reader.snapshot() as snapshot:
            rows = snapshot.connection.execute(
                "SELECT sequences.id, name, tokens, counted FROM sequences JOIN documents ON documents.id = document "
                "WHERE counted IS NOT NULL ORDER BY sequences.id"
            )
            return tuple(
                SampledSequence(
                    number,
                    document,
                    np.frombuffer(tokens, snapshot.token_type).astype(np.int64),
                    np.frombuffer(counted, np.uint8).astype(bool),
                )
                for number, document, tokens, counted in rows
            )

    def vocabulary(self) -> dict[int, str]:
        """Every token with its text."""
        with self.reader.snapshot() as snapshot:
            return dict(snapshot.connection.execute("SELECT token, text FROM vocabulary ORDER BY token"))


def open_store(folder_or_model: str | Path) -> NeuroscopeStore:
    """Open the store in a folder, or a model's store: the user's, or else the one that comes with the package.

    >>> with open_store("mini-gelu-1l") as store:
    ...     [site.name for site in store.sites()]
    ['mlp0', 'attn0.entropy', 'attn0.distance', 'attn0.norm']

    Raises:
        FileNotFoundError: if there is none; names the stores that there are.
        SchemaError: for a file that is no store, or that a newer version has written.
    """
    return NeuroscopeStore.open(folder_or_model)


def _contexts(snapshot: Snapshot, number: int) -> tuple[Context, ...]:
    """The contexts of a unit, grouped by kind."""
    rows = snapshot.connection.execute(
        "SELECT kind, value, name, tokens, focus, start, activations, quantile FROM contexts "
        "JOIN sequences ON sequences.id = sequence JOIN documents ON documents.id = document "
        "WHERE unit = ? ORDER BY kind, rank",
        [number],
    ).fetchall()
    windows = [
        np.frombuffer(tokens, snapshot.token_type)[
            start : start + len(activations) // VALUE.itemsize
        ].tolist()
        for _, _, _, tokens, _, start, activations, _ in rows
    ]
    texts = snapshot.texts(token for window in windows for token in window)
    return tuple(
        Context(
            KINDS[kind],
            value,
            document,
            tuple(texts[token] for token in window),
            tuple(np.frombuffer(activations, VALUE).tolist()),
            focus - start,
            quantile,
            tuple(window),
        )
        for (kind, value, document, _, focus, start, activations, quantile), window in zip(
            rows, windows, strict=True
        )
    )


def _logit_effects(snapshot: Snapshot, promoted: bytes, suppressed: bytes) -> LogitEffects:
    lists = [np.frombuffer(each, EFFECT) for each in (promoted, suppressed)]
    texts = snapshot.texts(int(token) for each in lists for token in each["token"])
    return LogitEffects(
        *(
            tuple((texts[token], effect) for token, effect in zip(*_columns(each), strict=True))
            for each in lists
        )
    )


def _columns(effects: np.ndarray) -> tuple[list[int], list[float]]:
    return effects["token"].tolist(), effects["effect"].tolist()


def _neighbours(snapshot: Snapshot, stored: bytes) -> tuple[Neighbour, ...]:
    found = np.frombuffer(stored, NEIGHBOUR)
    return tuple(
        Neighbour(snapshot.address(unit), similarity)
        for unit, similarity in zip(found["unit"].tolist(), found["similarity"].tolist(), strict=True)
    )
