"""Weights on disk as named tensors that are read lazily.

safetensors files are mapped into memory: a tensor costs nothing until it is read, and changes in memory
never reach the file. The header of every file is checked first, so a truncated file or one of another format
raises an error at once.

torch's zip files are mapped too, but only if every entry is stored uncompressed: torch maps the bytes of an
entry even if they are compressed. Their checksums and sizes are compared first.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from mechscope.arguments import first_line
from mechscope.model.classic_state import unwrapped
from mechscope.model.state_dict_check import NOT_ORDINARY, SHOWN, is_ordinary, listed
from mechscope.reading import (
    check_name,
    check_unpacked_size,
    open_safetensors,
    read_json_object,
    regular_file,
)

SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
PEEKED_AT_ONCE = 32 * 2**20
"""Bytes of a file that stay in memory after they were read once."""


class TensorSource(Protocol):
    """Named tensors: names and shapes are cheap, values are read on request.

    `get` returns a tensor to keep. `peek` returns one to read once, check and copy from: nothing of it stays in memory
    afterwards, and it must not be edited, unless `fresh` says that each of them is made anew and belongs to the caller.
    """

    where: str
    fresh: bool

    def names(self) -> list[str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def get(self, name: str) -> torch.Tensor: ...
    def peek(self, name: str) -> torch.Tensor: ...


class SafetensorsSource:
    """One or several safetensors files, mapped into memory."""

    fresh = False

    def __init__(self, paths: Iterable[Path], where: str) -> None:
        self.where = where
        self._file_of: dict[str, Any] = {}
        self._path_of: dict[str, Path] = {}
        self._versions: dict[Path, tuple[int, ...]] = {}
        self._peeked: _Peeked | None = None
        for path in paths:
            self._versions[path] = _version(path)
            opened = open_safetensors(path)
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                if name in self._path_of:
                    raise ValueError(_twice(where, name, self._path_of[name], path))
                self._file_of[name], self._path_of[name] = opened, path

    def names(self) -> list[str]:
        return list(self._file_of)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file_of[name].get_slice(name).get_shape())

    def get(self, name: str) -> torch.Tensor:
        return self._file_of[name].get_tensor(name)

    def peek(self, name: str) -> torch.Tensor:
        # What a process has read of a mapping counts as its memory while the mapping exists; so it is made anew each
        # time that this much was read of it, which costs a third of a millisecond.
        path = self._path_of[name]
        if self._peeked is None or self._peeked.path != path or self._peeked.read > PEEKED_AT_ONCE:
            self._peeked = None  # the old mapping ends before the new one begins
            self._peeked = _Peeked(path, open_safetensors(path))
            if _version(path) != self._versions[path]:
                raise ValueError(f"{str(path)!r} changed while it was being read. Load it again.")
        tensor = self._peeked.file.get_tensor(name)
        self._peeked.read += tensor.nbytes
        return tensor


@dataclass
class _Peeked:
    path: Path
    file: Any
    read: int = 0
    """Bytes."""


class DictSource:
    """Tensors that are already in memory.

    With `copy`, the returned tensors are independent of the caller's; each is copied only once, so that
    several views of a fused tensor share one copy, in the original memory layout.
    """

    fresh = False

    def __init__(self, tensors: Mapping[str, torch.Tensor], where: str, *, copy: bool = False) -> None:
        self.where = where
        self._tensors = dict(tensors)
        self._copied: set[str] | None = set() if copy else None

    def names(self) -> list[str]:
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name].shape)

    def get(self, name: str) -> torch.Tensor:
        if self._copied is not None and name not in self._copied:
            self._tensors[name] = self._tensors[name].detach().clone()
            self._copied.add(name)
        return self._tensors[name].detach()

    def peek(self, name: str) -> torch.Tensor:
        return self._tensors[name].detach()


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights that `open_weights` finds."""
    return any((folder / name).exists() for name in SINGLE_FILES + INDEX_FILES)


def open_weights(path: str | Path) -> TensorSource:
    """Open the weights in a folder (one file or shards) or in a single file.

    Raises:
        FileNotFoundError: if there are none, or a shard listed in the index is missing.
        ValueError: if a file is incomplete, is not a regular file, or is a pickle that contains more than tensors.
    """
    path = check_name(path)
    if path.is_dir():
        for name in SINGLE_FILES:
            if (path / name).exists():
                return open_weights(path / name)
        for name in INDEX_FILES:
            if (path / name).exists():
                return _open_shards(path / name)
        present = ", ".join(sorted(item.name for item in path.iterdir())[:SHOWN]) or "nothing"
        raise FileNotFoundError(
            f"{str(path)!r} contains no weights: looked for {', '.join(SINGLE_FILES + INDEX_FILES)}, "
            f"and found {present}."
        )
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.")
    if path.suffix == ".safetensors":
        return SafetensorsSource([path], str(path))
    return DictSource(read_pickle(path), str(path))


def _open_shards(index: Path) -> TensorSource:
    shard_of = read_json_object(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(
        isinstance(name, str) for name in cast("dict[str, Any]", shard_of).values()
    ):
        raise ValueError(
            f'{str(index)!r} is not an index of weight files: it needs a "weight_map" from tensor names to the '
            "names of files. Download it again."
        )
    names = sorted(set(cast("dict[str, str]", shard_of).values()))
    if outside := [name for name in names if not _is_plain_name(name)]:
        raise ValueError(
            f"{str(index)!r} names {listed([repr(name) for name in outside])}: weight files must be next to their "
            "index, so that a downloaded model reads nothing else on this machine. Put the file there and name it "
            "without a path."
        )
    shards = [index.parent / name for name in names]
    absent = [shard.name for shard in shards if not check_name(shard).exists()]
    if absent:
        raise FileNotFoundError(
            f"{str(index.parent)!r} is missing {len(absent)} of {len(shards)} weight files: {listed(absent)}."
        )
    source: TensorSource
    if index.name.startswith("model.safetensors"):
        source = SafetensorsSource(shards, str(index.parent))
    else:
        merged: dict[str, torch.Tensor] = {}
        first_in: dict[str, Path] = {}
        for shard in shards:
            for name, tensor in read_pickle(shard).items():
                if name in merged:
                    raise ValueError(_twice(str(index.parent), name, first_in[name], shard))
                merged[name], first_in[name] = tensor, shard
        source = DictSource(merged, str(index.parent))
    absent = sorted(set(cast("dict[str, str]", shard_of)) - set(source.names()))
    if absent:
        raise ValueError(
            f"{str(index.parent)!r}: no weight file has {listed(absent)}, which the index lists."
        )
    return source


def _version(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_plain_name(name: str) -> bool:
    return bool(name) and name not in (".", "..") and not {*"/\\\0"} & {*name}


def _twice(where: str, name: str, first: Path, second: Path) -> str:
    return f"{where!r} has {name!r} in both {first.name} and {second.name}."


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a file written by `torch.save`, without running any code in it.

    Raises:
        OSError, ValueError: for a folder, a pipe or a device.
        ValueError: for a file that is truncated or damaged, contains other objects, or is not a state dict.
    """
    path = regular_file(path)
    sizes: Counter[int] | None = None
    try:
        mapped = False
        if zipfile.is_zipfile(path):  # torch 1.6 and later; the older format cannot be mapped
            sizes, mapped = _check_archive(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # pickle, zip and torch each raise different errors
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) cannot be read as a file of tensors: it is "
            f"truncated, has another format, or contains Python objects, which are never run. ({first_line(error)})"
        ) from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{str(path)!r} contains a {type(found).__name__}, not a state dict.")
    state = dict(unwrapped(cast("Mapping[str, Any]", found)))
    others = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ValueError(f"{str(path)!r} contains more than tensors: {listed(others)}.")
    if unnamed := [repr(name) for name in state if not isinstance(name, str)]:
        raise ValueError(f"{str(path)!r} contains tensors whose names are not text: {listed(unnamed)}.")
    _check_storages(path, state, sizes)
    return state


def _check_archive(path: Path) -> tuple[Counter[int], bool]:
    """Check a zip file's checksums; return the sizes of its storages and whether it can be mapped.

    Reading the whole file costs a quarter of a second per gibibyte.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) < len(names):
            raise ValueError("two entries of the archive have the same name")
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if stored and any(entry.compress_size != entry.file_size for entry in entries):
            raise ValueError("an entry of the archive does not have its declared size")
        check_unpacked_size(path, sum(entry.file_size for entry in entries))
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its entry {damaged!r} is wrong")
    return Counter(entry.file_size for entry in entries if "/data/" in f"/{entry.filename}"), stored


def _check_storages(path: Path, state: Mapping[str, torch.Tensor], sizes: Counter[int] | None) -> None:
    """Whether every tensor is stored completely: if one is too short, torch reads into the next entry."""
    storages: dict[int, int] = {}
    for name, tensor in state.items():
        if not is_ordinary(tensor):
            raise ValueError(f"{str(path)!r}: {name} {NOT_ORDINARY}.")
        storage = tensor.untyped_storage()
        # A tensor may repeat its numbers (stride 0) and so be larger than the file.
        check_unpacked_size(path, tensor.numel() * tensor.element_size(), storage.nbytes())
        if storage.nbytes():
            storages[storage.data_ptr()] = storage.nbytes()
    if sizes is not None and Counter(storages.values()) - sizes:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) is damaged: its tensors do not have the size of the "
            "entries that store their numbers. Download or write it again."
        )
