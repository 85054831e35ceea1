"""What the neuroscope's pages ask a server for: the stores on this machine, and what they say about units."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.neuroscope.folders import find_known_store, known_stores
from mechscope.neuroscope.label_endpoints import label_endpoints
from mechscope.neuroscope.messages import (
    Findings,
    Labels,
    LabelsRequest,
    SearchRequest,
    SiteRequest,
    Stores,
    UnitAnswer,
    UnitRequest,
)
from mechscope.neuroscope.site_data import labels_of, site_table, store_line, unit_of
from mechscope.pages.endpoints import Endpoint, Nothing, RefusedError, refused_as

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore

PROBLEMS = {
    404: "This machine has no such store, site or unit.",
    409: "The store cannot be read.",
}


class OpenStores:
    """Stores of this machine, opened when they are first asked for. A store that was replaced is opened again."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[tuple[int, int], NeuroscopeStore]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def get(self, model: str) -> Generator[NeuroscopeStore]:
        """The store of a model.

        Raises:
            RefusedError: if there is none (404), or it cannot be read (409).
        """
        try:
            folder = find_known_store(model)
        except FileNotFoundError as error:
            raise RefusedError(404, str(error)) from error
        with refused_as(404), self.opened(folder) as store:
            yield store

    @contextmanager
    def opened(self, folder: Path) -> Generator[NeuroscopeStore]:
        """The store in a folder.

        Raises:
            RefusedError: if it cannot be read.
        """
        from mechscope.neuroscope.connections import FILE
        from mechscope.neuroscope.store import NeuroscopeStore

        try:
            with refused_as(409), self._lock:
                stat = (folder / FILE).stat()
                key = (stat.st_dev, stat.st_ino)
                if folder not in self._open or self._open[folder][0] != key:
                    # The one before is not closed, because another request may be reading it.
                    self._open[folder] = (key, NeuroscopeStore.open(folder))
                store = self._open[folder][1]
            yield store
        except sqlite3.Error as error:
            raise RefusedError(409, f"the store in {folder} cannot be read: {error}.") from error


def neuroscope_endpoints(stores: OpenStores | None = None) -> list[Endpoint]:
    """The endpoints.

    Args:
        stores: where stores come from; None makes new ones.
    """
    shelf = stores or OpenStores()

    def listed(request: Nothing) -> Stores:
        lines, problems = [], list[str]()
        for folder in known_stores().values():
            try:
                with shelf.opened(folder) as store:
                    lines.append(store_line(store))
            except RefusedError as error:
                problems.append(error.sentence)
        return Stores(stores=tuple(lines), problems=tuple(problems))

    def table(request: SiteRequest) -> bytes:
        with shelf.get(request.model) as store:
            return site_table(store, request.site)

    def unit(request: UnitRequest) -> UnitAnswer:
        with shelf.get(request.model) as store:
            return unit_of(store, request.site, request.unit)

    def labels(request: LabelsRequest) -> Labels:
        with shelf.get(request.model) as store:
            return labels_of(store)

    def search(request: SearchRequest) -> Findings:
        from mechscope.neuroscope.site_search import found_units

        with shelf.get(request.model) as store:
            return found_units(store, request.words)

    def reading(path: str, summary: str, request: type[Any], answer: type[Any], handle: Callable[..., Any]):
        return Endpoint("GET", f"neuroscope/{path}", summary, request, answer, handle, problems=PROBLEMS)

    return [
        reading("stores", "The stores of units on this machine", Nothing, Stores, listed),
        reading(
            "table",
            "Statistics of all units of a site, as JSON with lists of numbers",
            SiteRequest,
            bytes,
            table,
        ),
        reading("unit", "Everything that is stored about a unit", UnitRequest, UnitAnswer, unit),
        reading("labels", "All labels of a store, with their scores", LabelsRequest, Labels, labels),
        reading("search", "Units whose texts or labels have some words", SearchRequest, Findings, search),
        *label_endpoints(shelf),
    ]
