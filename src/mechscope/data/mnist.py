"""MNIST, from the user's own folder or from the package; its checksums are verified either way."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mechscope.arguments import brief_repr
from mechscope.data._idx import parse_idx, read_idx_bytes
from mechscope.data.mnist_archive import REINSTALL, unpack_mnist
from mechscope.storage.folders import DATA_VARIABLE, cache_folder, data_folder

log = logging.getLogger(__name__)


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

UNFINISHED = ".unfinished"
"""Suffix of temporary files."""
ABANDONED_AFTER = 3600.0
"""Age in seconds at which a temporary file is taken for a killed process's leftover; writing takes under a second."""


@dataclass(frozen=True)
class Mnist:
    """The four arrays, every checksum verified."""

    arrays: dict[str, np.ndarray]
    """File (such as "train-images") → unsigned bytes."""
    where: str
    """Where they were read from, as text for a report."""

    __repr__ = brief_repr


def read_mnist() -> Mnist:
    """MNIST from $MECHSCOPE_DATA/mnist if its four files are there, plain or as .gz, else from the package.

    The package's copy is unpacked once into the cache folder. If that cannot be written to, it is unpacked into memory,
    and a warning is logged.

    Raises:
        FileNotFoundError: if MECHSCOPE_DATA names a folder that does not exist, or the package is incomplete.
        ValueError: if a file differs from the published one; gives both checksums.
    """
    folder = own_folder()
    if folder is not None:
        return Mnist(read_folder(folder), f"the folder {folder}")
    kept = cache_folder() / "mnist"
    data = _read_kept(kept)
    if data is not None:
        return Mnist(_arrays(data), f"the package's copy, unpacked in {kept}")
    data = unpack_mnist()
    for file in FILES:
        _check(data[file.name], file, f"the package's own {file.name}", REINSTALL)
    where = f"the package's copy, unpacked in {kept}"
    try:
        _keep(data, kept)
    except OSError as error:
        where = "the package's copy, unpacked into memory"
        _warn_once(
            f"MNIST was unpacked into memory, because the cache folder {kept} cannot be written to "
            f"({error.strerror or error}). Each run unpacks it again; name another folder with MECHSCOPE_CACHE to "
            "avoid that."
        )
    return Mnist(_arrays(data), where)


def own_folder() -> Path | None:
    """$MECHSCOPE_DATA/mnist if it has all four files, plain or as .gz; else None. Reads no file.

    Raises:
        FileNotFoundError: if MECHSCOPE_DATA names a folder that is not there.
    """
    data = data_folder()
    folder = None if data is None else data / "mnist"
    if folder is not None and all(_path_in(folder, file).is_file() for file in FILES):
        return folder
    return None


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """The four arrays from a folder with the IDX files, plain or as .gz.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or differs from the published one; gives both checksums.
    """
    return _arrays({file.name: read_verified(folder, file) for file in FILES})


def read_verified(folder: Path, file: IdxFile) -> bytes:
    """The uncompressed bytes of one file, size and checksum checked.

    Raises:
        FileNotFoundError: if it is missing, both plain and as .gz.
        ValueError: if it is not the published file.
    """
    path = _path_in(folder, file)
    if not path.is_file():
        raise FileNotFoundError(f"{file.name} is missing in {folder} (neither plain nor as .gz).")
    try:
        data = read_idx_bytes(path, file.size)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error} ({_REPLACE})") from error
    _check(data, file, str(path), _REPLACE)
    return data


_REPLACE = f"replace it, or unset {DATA_VARIABLE} to read the copy that comes with mechscope"


def _path_in(folder: Path, file: IdxFile) -> Path:
    plain = folder / file.name
    return plain if plain.is_file() else folder / f"{file.name}.gz"


def _arrays(data: dict[str, bytes]) -> dict[str, np.ndarray]:
    return {file.part: parse_idx(data[file.name], file.name) for file in FILES}


def _check(data: bytes, file: IdxFile, where: str, fix: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        size = f"more than {file.size:,}" if len(data) > file.size else f"{len(data):,}"
        raise ValueError(
            f"{where} is not the published file: sha256 {found} ({size} bytes), expected {file.sha256} "
            f"({file.size:,} bytes); {fix}."
        )


def _read_kept(folder: Path) -> dict[str, bytes] | None:
    """The files unpacked by an earlier run; None if they have to be unpacked (again)."""
    try:
        return {file.name: read_verified(folder, file) for file in FILES}
    except FileNotFoundError:
        return None
    except ValueError as error:
        log.warning("A file in the cache is damaged and will be written again: %s", error)
        return None


@cache
def _warn_once(words: str) -> None:
    log.warning(words)


def _keep(data: dict[str, bytes], folder: Path) -> None:
    """Write the files, each under a temporary name first: another process never sees half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # another process may have removed it just now
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
                left.unlink()
    for name, content in data.items():
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as target:
                target.write(content)
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
