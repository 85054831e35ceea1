"""Activations on disk, in shards with a manifest of their hashes, so that a model runs once for many training runs."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mechscope.arguments import checked_arguments, is_whole_number, shown
from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.stream import Batch, BlockStream, Stream, check_finite, even_bounds
from mechscope.reading import check_name, naming, open_safetensors, read_json_object, regular_file
from mechscope.runs.config_diff import config_diff
from mechscope.runs.key import NO_INPUTS
from mechscope.storage.files import NotKeptError, keeping, write_atomically

MANIFEST = "manifest.json"
FORMAT = "mechscope-activations-1"


@checked_arguments
def write_shards(stream: Stream, folder: str | Path, *, shards: int, batches: int) -> Path:
    """Write the stream's next `shards · batches` batches to a folder, one file for each shard.

    Complete shards of this stream that are already there are kept, so that an interrupted call can be repeated.

    Raises:
        ValueError: if the folder holds another stream's activations.
        NotKeptError: if the disk is too small (checked before the first shard) or becomes full; complete shards are
            kept.
    """
    for name, value in (("shards", shards), ("batches", batches)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}.")
    folder = Path(folder)
    origin: dict[str, Any] = {
        "format": FORMAT,
        "source": stream.source,
        "d_in": stream.d_in,
        "d_out": stream.d_out,
        "batch_size": stream.batch_size,
        "seed": getattr(stream, "seed", None),
        "batches": batches,
        "begins": stream.state_dict(),
    }
    if made_from := stream.made_from():
        origin["made_from"] = dict(made_from)
    # Not part of the check: made_from says which positions were used, and earlier versions kept no metadata.
    extra = {"metadata": metadata} if (metadata := stream.metadata()) else {}
    kept: list[dict[str, Any]] = []
    if (folder / MANIFEST).is_file():
        there = _read_manifest(folder)
        ours = {name: value for name, value in there.items() if name not in ("shards", "metadata")}
        _check_same(folder, ours, origin)
        kept = there["shards"][:shards]
    if kept:
        with naming(folder / MANIFEST):
            stream.load_state_dict(kept[-1]["ends"])
    _check_room(folder, stream, (shards - len(kept)) * batches * stream.batch_size)
    for number in range(len(kept), shards):
        pieces = [next(stream) for _ in range(batches)]
        tensors = {"x": torch.cat([piece.x for piece in pieces]).cpu()}
        targets = [piece.target for piece in pieces if piece.target is not None]
        if targets:
            tensors["target"] = torch.cat(targets).cpu()
        content = safetensors.torch.save(tensors)
        name = f"shard-{number:05d}.safetensors"
        with keeping(folder / name):
            write_atomically(folder / name, content)
        described = {
            "file": name,
            "activations": len(tensors["x"]),
            "sha256": hashlib.sha256(content).hexdigest(),
            "ends": stream.state_dict(),
        }
        kept.append(described)
        # Written after the shard, so that every shard in the manifest exists.
        with keeping(folder / MANIFEST):
            write_atomically(
                folder / MANIFEST, json.dumps({**origin, **extra, "shards": kept}, indent=2) + "\n"
            )
    return folder


class ShardStream(BlockStream):
    """The activations in a folder written by `write_shards`, with one shard in memory at a time, shuffled in each pass.

    Raises:
        FileNotFoundError: if the manifest or a shard is missing.
        ValueError: for a manifest of another format, a shard whose hash is not the manifest's, or batches larger
            than a shard.
    """

    def __init__(self, folder: str | Path, *, batch_size: int, seed: int = 0) -> None:
        super().__init__(batch_size, seed)
        self.folder = check_name(folder)
        if not (self.folder / MANIFEST).is_file():
            raise FileNotFoundError(
                f"{self.folder} has no {MANIFEST}: write activations there with write_shards."
            )
        self._manifest = _read_manifest(self.folder)
        # Identified by their hashes, not by the path of the folder.
        together = hashlib.sha256("".join(shard["sha256"] for shard in self._shards).encode()).hexdigest()
        self.source = f"{self._manifest['source']}, in shards {together[:12]}"
        for shard in self._shards:
            if not (self.folder / shard["file"]).is_file():
                raise FileNotFoundError(f"{self.folder} lacks {shard['file']}, which its manifest lists.")
            if shard["activations"] < batch_size:
                raise ValueError(
                    f"a shard has {shard['activations']} activations, fewer than a batch of {batch_size}."
                )
        self._checked: set[str] = set()

    @property
    def _shards(self) -> list[Mapping[str, Any]]:
        return self._manifest["shards"]

    @property
    def d_in(self) -> int:
        return self._manifest["d_in"]

    @property
    def d_out(self) -> int | None:
        return self._manifest["d_out"]

    def metadata(self) -> dict[str, Any]:
        return dict(self._manifest.get("metadata", {}))

    def blocks(self) -> int:
        return len(self._shards)

    def read_block(self, epoch: int, number: int) -> Batch:
        return self.read_part(epoch, number, 0, 1)

    splits = True

    def bounds(self, epoch: int, number: int, parts: int) -> list[int]:
        return even_bounds(self._shard(epoch, number)["activations"], parts)

    def read_part(self, epoch: int, number: int, part: int, parts: int) -> Batch:
        shard = self._shard(epoch, number)
        path = self.folder / shard["file"]
        if shard["file"] not in self._checked and _hash(path) != shard["sha256"]:
            raise ValueError(
                f"{path} has another hash than its manifest says: it is damaged or was replaced. Write it again."
            )
        begin, end = self.bounds(epoch, number, parts)[part : part + 2]
        with open_safetensors(path) as file:
            self._check_shapes(path, file, shard["activations"])
            tensors: dict[str, Tensor] = {
                name: file.get_slice(name)[begin:end]
                for name in file.keys()  # noqa: SIM118
            }
        batch = Batch(tensors["x"], tensors.get("target"))
        if shard["file"] not in self._checked:
            check_finite(batch, str(path), begin)
            self._checked.add(shard["file"])
        return batch

    def fingerprint(self) -> str:
        return self.source

    def _check_shapes(self, path: Path, file: Any, activations: int) -> None:
        widths = {"x": self.d_in} | ({} if self.d_out is None else {"target": self.d_out})
        found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        expected = {name: [activations, width] for name, width in widths.items()}
        if found != expected:
            raise ValueError(f"{path} holds {found}, but its manifest declares {expected}. Write it again.")

    def _shard(self, epoch: int, number: int) -> Mapping[str, Any]:
        order = torch.randperm(len(self._shards), generator=seeded(self.seed, 2, epoch))
        return self._shards[int(order[number])]


def _check_room(folder: Path, stream: Stream, activations: int) -> None:
    """Raise an error if the disk cannot hold the activations, which are many times as large as the text."""
    if not activations:
        return
    needed = activations * (stream.d_in + (stream.d_out or 0)) * stream.peek(1).x.element_size()
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise NotKeptError(
            folder,
            OSError(
                errno.ENOSPC,
                f"{activations:,} activations take {needed / 2**30:.2f} GiB, but only {free / 2**30:.2f} GiB are free",
            ),
        )


def _check_same(folder: Path, there: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
    """Raise ValueError if the folder holds the activations of another stream."""
    here = json.loads(json.dumps(origin))
    if there == here:
        return
    if there == {name: value for name, value in here.items() if name != "made_from"}:
        raise ValueError(f"{folder} {NO_INPUTS} Remove the folder to write the activations again.")
    differ = "; ".join(config_diff(there, here, "there", "here"))
    raise ValueError(
        f"{folder} holds the activations of {there.get('source')!r} with other settings: {differ}. Give another "
        "folder, or remove this one to write them again."
    )


def _hash(path: Path) -> str:
    with regular_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = read_json_object(path, fix="Write the shards again.")
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path} is not of the format {FORMAT!r}.")

    def check(name: str, fits: bool, words: str, value: object) -> None:
        if not fits:
            raise ValueError(f"{path}: {name} must be {words}, not {shown(value)}. Write the shards again.")

    d_in, d_out, source = (manifest.get(name) for name in ("d_in", "d_out", "source"))
    check("d_out", "d_out" in manifest, "there", None)
    check("d_in", _is_count(d_in), "a whole number above 0", d_in)
    check("d_out", d_out is None or _is_count(d_out), "a whole number above 0 or null", d_out)
    check("source", isinstance(source, str), "text", source)
    shards = manifest.get("shards")
    check("shards", isinstance(shards, list) and bool(shards), "a list of shards", shards)
    for shard in shards or []:
        whole = isinstance(shard, dict) and {"file", "activations", "sha256", "ends"} <= {*shard}
        check("a shard", whole, "an object with file, activations, sha256 and ends", shard)
        check("ends", isinstance(shard["ends"], dict), "an object", shard["ends"])
        check("activations", _is_count(shard["activations"]), "a whole number above 0", shard["activations"])
        check("sha256", isinstance(shard["sha256"], str), "text", shard["sha256"])
        # A name with a path in it could read any file on this machine.
        plain = isinstance(shard["file"], str) and re.fullmatch(r"shard-\d+\.safetensors", shard["file"])
        check("file", bool(plain), "the name of a shard next to the manifest", shard["file"])
    return manifest


def _is_count(value: object) -> bool:
    return is_whole_number(value, 1, 2**63 - 1)
