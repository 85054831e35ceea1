"""What the neuroscope's pages read, from a store: the same for a server and for the files of a static site."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Int

from mechscope.checkpoints.registry import bundled_names
from mechscope.dictionaries.bundled_folders import bundled_dictionary_names
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.folders import READY
from mechscope.neuroscope.head_patterns import quantile_sequences
from mechscope.neuroscope.label_parts import label_part
from mechscope.neuroscope.messages import (
    Labels,
    SiteLine,
    StoreLine,
    Stores,
    UnitAnswer,
    finite,
    unit_answer,
)
from mechscope.neuroscope.statistics import bimodality
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress
from mechscope.pages.site import PageContext, Site

ROUTE = "neuroscope/"
LABELS_ROUTE = f"{ROUTE}labels/"
FOLDER = "files/neuroscope"
"""Where the static site has its copies."""
BATCH = 16
"""Units per file in a static site: a reader who goes from unit to unit loads few files, and none is large."""
STATISTICS = (
    "firing_rate",
    "kurtosis",
    "skewness",
    "maximum",
    "minimum",
    "mean",
    "variance",
)
"""The stored statistics by which pages compare units; bimodality is computed from them."""
BROWSER_DICTIONARIES = ("mini-gelu-1l-neurons",)
"""Bundled dictionaries that the browser can run; the site has their files for a live figure of step 05."""
_NEURONS = re.compile(r"mlp(\d+)")
_HEADS = re.compile(r"attn(\d+)\.(entropy|distance|norm)")
_MEASURED = {
    "entropy": "the entropy of its pattern",
    "distance": "how far back it looks",
    "norm": "how much it writes",
}


def site_words(site: str, source: str = "") -> str:
    """What a unit of a site is, in words.

    >>> site_words("mlp0"), site_words("attn1.entropy"), site_words("mine", "mine.safetensors@resid_post0")
    ('neuron of layer 0', 'attention head of layer 1, by the entropy of its pattern', 'direction of mine')

    Args:
        source: what `find_sites` was given.
    """
    if found := _NEURONS.fullmatch(site):
        return f"neuron of layer {found[1]}"
    if found := _HEADS.fullmatch(site):
        return f"attention head of layer {found[1]}, by {_MEASURED[found[2]]}"
    if site in bundled_dictionary_names():
        return f"latent of the dictionary {site}"
    # What is no direction was read from the folder of a dictionary.
    return f"direction of {site}" if "@" in source else f"latent of the dictionary {site}"


def store_line(store: NeuroscopeStore) -> StoreLine:
    """What pages must know about a store."""
    about = store.about
    return StoreLine(
        model=store.model,
        corpus=about.corpus,
        tokens=about.tokens,
        documents=about.documents,
        sites=tuple(
            SiteLine(
                name=site.name,
                units=site.units,
                words=site_words(site.name, site.source),
                signed=site.signed,
                left_out=site.left_out,
                in_browser=_runs_in_browser(store.model, site.name),
            )
            for site in store.sites()
        ),
    )


def _runs_in_browser(model: str, site: str) -> bool:
    is_readable = _NEURONS.fullmatch(site) or _HEADS.fullmatch(site) or site in BROWSER_DICTIONARIES
    return model in bundled_names() and bool(is_readable)


def site_table(store: NeuroscopeStore, site: str) -> bytes:
    """Statistics of all units of a site, as JSON: lists with a number (or null) per unit.

    A site whose units the browser can read has the histograms too: the index of the first used bin and the counts from
    there, for each unit.

    Raises:
        KeyError: for an unknown site.
    """
    statistics = store.statistics(site)
    columns = {name: getattr(statistics, name).tolist() for name in STATISTICS}
    columns["bimodality"] = bimodality(statistics).tolist()
    content: dict[str, Any] = {
        "units": len(columns["mean"]),
        "batch": BATCH,
        "statistics": {name: [finite(value) for value in values] for name, values in columns.items()},
    }
    if _runs_in_browser(store.model, site):
        edges, counts = store.histograms(site)
        content["histograms"] = {"edges": edges.tolist(), "counts": [_used(row) for row in counts]}
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _used(counts: Int[np.ndarray, " bin"]) -> list[int]:
    """The index of the first bin with a count, and the counts from there to the last one."""
    (used,) = counts.nonzero()
    return [int(used[0]), *counts[used[0] : used[-1] + 1].tolist()] if len(used) else [0]


def unit_of(store: NeuroscopeStore, site: str, unit: int) -> UnitAnswer:
    """Everything about a unit.

    Raises:
        KeyError: for a site or unit that the store does not have.
    """
    address = UnitAddress(store.model, site, unit)
    labels = tuple(label_part(store, label, with_evidence=True) for label in store.labels.of(address))
    sequences = quantile_sequences(store, address) if _HEADS.fullmatch(site) else ()
    return unit_answer(store.unit(address), labels, sequences)


def labels_of(store: NeuroscopeStore) -> Labels:
    """All labels of a store."""
    return Labels(labels=tuple(label_part(store, label) for label in store.labels.all()))


def static_files(folder: Path = READY) -> Mapping[str, Callable[[], bytes]]:
    """Path in the site → function that makes the file, for all stores in a folder, or for the store that it is.

    Raises:
        FileNotFoundError: if there is no store, and it is not the folder of those that come with mechscope.
        SchemaError, NothingPublishedError: for a store that cannot be read.
        ValueError: for a store whose files would be written outside of the site.
    """
    if folder != READY and not _lines(folder):
        raise FileNotFoundError(
            f"there is no neuroscope store in {folder}. Name the folder of a store, or of several; `mechscope "
            "neuroscope harvest MODEL --out FOLDER` makes one."
        )
    files: dict[str, Callable[[], bytes]] = {f"{FOLDER}/stores.json": partial(_stores_file, folder)}
    for path, line in _lines(folder).items():
        files[f"{FOLDER}/{line.model}/labels.json"] = partial(_labels_file, path)
        # A server leads from this address to the page of labels; a static site needs a file.
        files[f"{_labels_address(line.model)}index.html"] = partial(_labels_link, line.model)
        for site in line.sites:
            place = f"{FOLDER}/{line.model}/{site.name}"
            files[f"{place}/table.json.gz"] = partial(_table_file, path, site.name)
            for batch in range((site.units + BATCH - 1) // BATCH):
                files[f"{place}/units-{batch}.json.gz"] = partial(_batch_file, path, site, batch)
    return files


def with_stores(site: Site, folder: Path) -> Site:
    """The site with the units of the stores in a folder in place of those that come with mechscope.

    Raises:
        FileNotFoundError: if there is no store.
    """
    own = (f"{FOLDER}/", ROUTE)
    others = {name: make for name, make in site.made_files.items() if not name.startswith(own)}
    return replace(site, made_files=others | dict(static_files(folder)))


@cache
def _lines(folder: Path) -> dict[Path, StoreLine]:
    """The stores in a folder, or the one that it is. They are read once; a server asks for others itself."""
    lines: dict[Path, StoreLine] = {}
    for file in (folder / FILE, *sorted(folder.glob(f"*/{FILE}"))):
        if file.is_file():
            with NeuroscopeStore.open(file.parent) as store:
                lines[file.parent] = store_line(store)
            _check_places(lines[file.parent])
    return lines


def _check_places(line: StoreLine) -> None:
    """Check that no name in a store, which may come from somebody else, leads out of the folder of a site."""
    for name in (line.model, *(site.name for site in line.sites)):
        if ".." in re.split(r"[/\\]", name):
            raise ValueError(
                f"the store of {line.model} cannot be part of a site, because {name!r} would be written outside of it: "
                "harvest with a model's name, or its path from the root (/)."
            )


def _stores_file(folder: Path) -> bytes:
    return json.dumps(Stores(stores=tuple(_lines(folder).values())).to_dict()).encode()


def _labels_file(path: Path) -> bytes:
    with NeuroscopeStore.open(path) as store:
        return json.dumps(labels_of(store).to_dict(), allow_nan=False).encode()


def _labels_address(model: str) -> str:
    return f"{ROUTE}{model}/labels/"


def _labels_link(model: str) -> bytes:
    """A page that leads on to the labels of a model."""
    link = f"{PageContext(_labels_address(model), is_served=False).to(LABELS_ROUTE)}#{quote(model)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Labels of {escape(model)}</title>\n'
        f'<meta http-equiv="refresh" content="0; url={link}">\n'
        f'<p><a href="{link}">Labels of {escape(model)}</a></p>\n</html>\n'
    ).encode()


def _table_file(path: Path, site: str) -> bytes:
    with NeuroscopeStore.open(path) as store:
        return _packed(site_table(store, site))


def _batch_file(path: Path, site: SiteLine, batch: int) -> bytes:
    with NeuroscopeStore.open(path) as store:
        units = range(batch * BATCH, min((batch + 1) * BATCH, site.units))
        content: list[Any] = [unit_of(store, site.name, unit).to_dict() for unit in units]
    return _packed(json.dumps(content, separators=(",", ":"), allow_nan=False).encode())


def _packed(content: bytes) -> bytes:
    # No time in the file: the same store gives the same bytes.
    return gzip.compress(content, 6, mtime=0)
