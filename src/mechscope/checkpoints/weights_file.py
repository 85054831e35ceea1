"""Weights on disk as named tensors that are read when they are asked for.

safetensors files are mapped into memory: a tensor costs nothing until it is read, and a change made to
it in memory never reaches the file. The header of every file is checked before any tensor exists, so a
file that is cut short or is something else is an error at once.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open

from mechscope.model.classic_state import unwrapped

SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
SHOWN = 12
"""Names of a kind that an error lists before it only counts."""


class TensorSource(Protocol):
    """Named tensors: their names and shapes for nothing, their values on request."""

    where: str

    def names(self) -> list[str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def get(self, name: str) -> torch.Tensor: ...


class SafetensorsSource:
    """One or several safetensors files, mapped into memory."""

    def __init__(self, paths: Iterable[Path], where: str) -> None:
        self.where = where
        self._file_of: dict[str, Any] = {}
        for path in paths:
            try:
                # A dtype newer than this torch, a cut-off file, a file of another kind: all end here.
                opened: Any = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise ValueError(
                    f"{str(path)!r} ({path.stat().st_size:,} bytes) is not a complete safetensors file: "
                    f"{error}. Download or copy it again."
                ) from error
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                self._file_of[name] = opened

    def names(self) -> list[str]:
        return list(self._file_of)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file_of[name].get_slice(name).get_shape())

    def get(self, name: str) -> torch.Tensor:
        return self._file_of[name].get_tensor(name)


class DictSource:
    """Tensors that are in memory already.

    With `copy`, what is handed out is independent of the caller's tensors; each is copied once, so that
    several views of a fused tensor share one copy, in the original memory layout.
    """

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


def open_weights(path: str | Path) -> TensorSource:
    """The weights in a folder (whole or in shards) or in one file.

    Raises:
        FileNotFoundError: when there are none, or a shard that the index names is missing.
        ValueError: when a file is not complete, or is a pickle that holds more than tensors.
    """
    path = Path(path)
    if path.is_dir():
        for name in SINGLE_FILES:
            if (path / name).is_file():
                return open_weights(path / name)
        for name in INDEX_FILES:
            if (path / name).is_file():
                return _open_shards(path / name)
        present = ", ".join(sorted(item.name for item in path.iterdir())[:SHOWN]) or "nothing"
        raise FileNotFoundError(
            f"{str(path)!r} holds no weights: looked for {', '.join(SINGLE_FILES + INDEX_FILES)}, "
            f"and found {present}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.")
    if path.suffix == ".safetensors":
        return SafetensorsSource([path], str(path))
    return DictSource(read_pickle(path), str(path))


def _open_shards(index: Path) -> TensorSource:
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = [index.parent / name for name in sorted(set(shard_of.values()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{str(index)!r} is not an index of weight files: {error!r}.") from error
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise FileNotFoundError(
            f"{str(index.parent)!r} lacks {len(absent)} of {len(shards)} weight files: {_listed(absent)}."
        )
    source: TensorSource
    if index.name.startswith("model.safetensors"):
        source = SafetensorsSource(shards, str(index.parent))
    else:
        merged: dict[str, torch.Tensor] = {}
        for shard in shards:
            merged.update(read_pickle(shard))
        source = DictSource(merged, str(index.parent))
    absent = sorted(set(shard_of) - set(source.names()))
    if absent:
        raise ValueError(
            f"{str(index.parent)!r}: no weight file has {_listed(absent)}, which the index names."
        )
    return source


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that `torch.save` wrote, without running any code that it holds.

    Raises:
        ValueError: for a file that is cut short, holds other objects, or is not a state dict.
    """
    try:
        # Only the zip layout (torch 1.6 and later) can be mapped into memory.
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # pickle, zip and torch each raise their own
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) cannot be read as a file of tensors: it is cut "
            f"short, of another format, or holds Python objects, which are never run. ({_first_line(error)})"
        ) from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{str(path)!r} holds a {type(found).__name__}, not a state dict.")
    state = dict(unwrapped(cast("Mapping[str, Any]", found)))
    others = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ValueError(f"{str(path)!r} holds more than tensors: {_listed(others)}.")
    return state


def mismatch_message(
    where: str,
    *,
    missing: Iterable[str] = (),
    extra: Iterable[str] = (),
    misshapen: Iterable[tuple[str, tuple[int, ...], tuple[int, ...]]] = (),
) -> str | None:
    """One message about everything wrong with a set of tensors, or None when all is well.

    `misshapen` holds (name, shape found, shape expected).
    """
    parts: list[str] = []
    if missing := sorted(missing):
        parts.append(f"{len(missing)} missing: {_listed(missing)}")
    if extra := sorted(extra):
        parts.append(f"{len(extra)} unexpected: {_listed(extra)}")
    if misshapen := sorted(misshapen):
        told = [f"{name} {list(found)} instead of {list(expected)}" for name, found, expected in misshapen]
        parts.append(f"{len(misshapen)} of the wrong shape: {_listed(told)}")
    if not parts:
        return None
    return f"the tensors of {where} do not fit the config: " + "; ".join(parts) + "."


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
