"""MNIST's four files: found in a folder, or downloaded, and in either case checked against their checksums."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mechscope.data.folder import cache_folder, data_folder, is_offline
from mechscope.data.idx import parse_idx, read_idx_bytes


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, uncompressed."""

    part: str
    """Short name of its content."""
    name: str
    """File name without .gz."""
    size: int
    """Bytes."""
    sha256: str
    """Checksum of the uncompressed bytes."""


FILES = (
    IdxFile(
        "train-images",
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    IdxFile(
        "train-labels",
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    IdxFile(
        "t10k-images",
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    IdxFile(
        "t10k-labels",
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
"""Folders that serve the four files as NAME.gz. Which one answers does not matter: checksums decide."""

Opener = Callable[[str, float], BinaryIO]


@dataclass(frozen=True)
class MnistFiles:
    """A folder that holds all four files, plain or as .gz."""

    folder: Path
    """Where they are."""
    where: str
    """The same in words that a report can show."""

    def read(self) -> dict[str, np.ndarray]:
        """The four arrays by part, every checksum verified.

        Raises:
            ValueError: for a file that is not the published one, with both checksums.
        """
        return {file.part: parse_idx(read_verified(self.folder, file), file.name) for file in FILES}


def find_mnist() -> MnistFiles | None:
    """MNIST in the data folder, else in the cache, else None. Looks, and reads nothing."""
    named = data_folder()
    if named is not None and _complete(named / "mnist"):
        return MnistFiles(named / "mnist", "the data folder")
    if _complete(cache_folder() / "mnist"):
        return MnistFiles(cache_folder() / "mnist", "the cache of an earlier download")
    return None


def fetch_mnist(
    mirrors: Sequence[str] = MIRRORS, opener: Opener | None = None, timeout: float = 10.0
) -> tuple[MnistFiles | None, str]:
    """Download MNIST into the cache; returns the files, or None and the reason why not.

    A file is only ever seen in the cache whole and verified. Mirrors are tried in order.
    """
    if is_offline():
        return None, "downloads are forbidden by MECHSCOPE_OFFLINE or HF_HUB_OFFLINE"
    folder = cache_folder() / "mnist"
    failures: dict[str, str] = {}
    for mirror in mirrors:
        try:
            for file in FILES:
                if not (folder / file.name).is_file():
                    _download(mirror, file, folder, opener or _open_url, timeout)
        # A mirror can fail in every way that a network and a stranger's server can; the next one is tried.
        except (OSError, ValueError, EOFError, zlib.error) as error:
            failures[mirror.split("/")[2]] = _in_short(error)
            continue
        return MnistFiles(folder, f"a download from {mirror.split('/')[2]}"), ""
    # Without a network all of them fail alike, and one word says it.
    reasons = set(failures.values())
    words = (
        reasons.pop() if len(reasons) == 1 else "; ".join(f"{host}: {why}" for host, why in failures.items())
    )
    return None, f"no mirror could be read: {words}"


def read_verified(folder: Path, file: IdxFile) -> bytes:
    """The uncompressed bytes of one file, size and checksum checked.

    Raises:
        FileNotFoundError: if it is there neither plain nor as .gz.
        ValueError: if it is not the published file.
    """
    plain, packed = folder / file.name, folder / f"{file.name}.gz"
    path = plain if plain.is_file() else packed
    if not path.is_file():
        raise FileNotFoundError(f"{file.name} is missing in {folder} (neither plain nor as .gz).")
    data = read_idx_bytes(path, file.size)
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"{path} is not the published file: sha256 {found} ({_size_in_words(data, file)}), expected {file.sha256} "
            f"({file.size:,} bytes); delete it and fetch it again."
        )
    return data


def _size_in_words(data: bytes, file: IdxFile) -> str:
    return f"{len(data):,} bytes" if len(data) <= file.size else f"more than {file.size:,} bytes"


def _complete(folder: Path) -> bool:
    return all((folder / file.name).is_file() or (folder / f"{file.name}.gz").is_file() for file in FILES)


def _download(mirror: str, file: IdxFile, folder: Path, opener: Opener, timeout: float) -> None:
    with opener(f"{mirror}{file.name}.gz", timeout) as response:
        # Packing never adds more than a little: a server that sends more is not sending this file.
        packed = response.read(file.size + 4096)
    data = zlib.decompressobj(wbits=31).decompress(packed, file.size + 1)
    found = hashlib.sha256(data).hexdigest()
    if len(data) != file.size or found != file.sha256:
        raise ValueError(f"{file.name} has sha256 {found}, expected {file.sha256}")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(data)
        Path(temporary).replace(folder / file.name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _open_url(url: str, timeout: float) -> BinaryIO:
    request = urllib.request.Request(url, headers={"User-Agent": "mechscope"})
    return urllib.request.urlopen(request, timeout=timeout)


def _in_short(error: BaseException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(reason).__name__
