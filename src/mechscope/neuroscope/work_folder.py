"""The shards of a harvest that are finished, on disk.

Shards are the leaves of a binary tree: node (level, index) stands for the 2^level shards from index·2^level on. Each
file has the merged state of one node. As soon as both halves of a node are there, they are merged into one file and
deleted, so that a harvest of N shards leaves about log₂ N files. A file appears at once and complete, and halves are
deleted only after their whole has been written, so a process can be killed at any moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save

from mechscope.neuroscope.merge import merge
from mechscope.neuroscope.state import HarvestState
from mechscope.reading import open_safetensors, parse_json
from mechscope.storage.files import keeping, write_atomically
from mechscope.storage.folder_lock import hold_folder

STATES = "states"
"""The subfolder of the files."""
_NAME = re.compile(r"level-(?P<level>\d+)-node-(?P<index>\d+)\.safetensors")
AGAIN = "Delete it, and run the same command again: its shards are harvested again."

Node = tuple[int, int]
"""(level, index)."""
Ledger = list[tuple[str, int]]
"""The shards of a node in order: (id, number of tokens)."""


class WorkFolder:
    """The finished shards of a harvest.

    Args:
        folder: the work folder, in which one process at a time may write.

    Raises:
        ValueError: if a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards: dict[int, tuple[str, int]] = {}
        """Index of a finished shard → its id and its number of tokens."""
        self._nodes: dict[Node, Ledger] = {}
        self._read()

    def commit(self, index: int, shard: str, state: HarvestState) -> None:
        """Keep the state of a shard. A shard that is already there is left as it is.

        Args:
            index: the place of the shard in the corpus.
            shard: its id.

        Raises:
            NotKeptError: if it cannot be written; the shards that were kept before are still there.
        """
        if index not in self.shards:
            self._write((0, index), [(shard, state.tokens)], state)
            self.shards[index] = (shard, state.tokens)

    def compact(self, below: int) -> None:
        """Merge halves whose whole ends at or before the shard with the index `below`.

        Raises:
            NotKeptError: if a merged state cannot be written; its halves are then still there.
        """
        waiting = sorted(self._nodes)
        while waiting:
            level, node = waiting.pop(0)
            left, right, whole = (level, node & ~1), (level, node | 1), (level + 1, node >> 1)
            if left in self._nodes and right in self._nodes and whole_end(whole) <= below:
                state = merge(self._load(left), self._load(right))
                self._write(whole, [*self._nodes[left], *self._nodes[right]], state)
                for half in (left, right):
                    self._delete(half)
                waiting.append(whole)

    def merged(
        self, below: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> HarvestState:
        """The state of all shards before the one with the index `below`.

        Args:
            progress: is told how many files of how many have been read.

        Raises:
            ValueError: if a shard is missing, or a file is damaged.
        """
        chosen = sorted((node for node in self._nodes if whole_end(node) <= below), key=whole_end)
        found = [index for node in chosen for index in range(node[1] << node[0], whole_end(node))]
        if found != list(range(below)):
            raise ValueError(
                f"{self.folder} has not all of the first {below:,} shards: run the harvest again."
            )
        # The last nodes are the smallest.
        state = self._load(chosen[-1])
        progress(1, len(chosen))
        for done, node in enumerate(reversed(chosen[:-1]), start=2):
            state = merge(self._load(node), state)
            progress(done, len(chosen))
        return state

    def whole_nodes(self, shards: int) -> int:
        """The smallest number of shards, at least `shards`, that are not merged with later ones."""
        while straddling := [node for node in self._nodes if node[1] << node[0] < shards < whole_end(node)]:
            shards = whole_end(straddling[0])
        return shards

    @property
    def disk_bytes(self) -> int:
        """The size of all files."""
        return sum(self._path(node).stat().st_size for node in self._nodes)

    def _read(self) -> None:
        folder = self.folder / STATES
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if name := _NAME.fullmatch(path.name):
                self._nodes[int(name["level"]), int(name["index"])] = _ledger(path)
        # The process was killed before it had deleted the halves of what it had merged.
        for level, node in sorted(self._nodes):
            if any((upper, node >> (upper - level)) in self._nodes for upper in range(level + 1, 64)):
                self._delete((level, node))
        self.shards = {
            (node << level) + offset: entry
            for (level, node), ledger in self._nodes.items()
            for offset, entry in enumerate(ledger)
        }

    def _path(self, node: Node) -> Path:
        return self.folder / STATES / f"level-{node[0]:02d}-node-{node[1]:08d}.safetensors"

    def _write(self, node: Node, ledger: Ledger, state: HarvestState) -> None:
        path = self._path(node)
        with keeping(path):
            write_atomically(path, save(state.to_tensors(), {"shards": json.dumps(ledger)}))
        self._nodes[node] = ledger

    def _load(self, node: Node) -> HarvestState:
        path = self._path(node)
        try:
            return HarvestState.from_tensors(load_file(path))
        except (safetensors.SafetensorError, ValueError, OSError) as error:
            raise _damaged(path, error) from error

    def _delete(self, node: Node) -> None:
        self._path(node).unlink(missing_ok=True)
        del self._nodes[node]


@contextmanager
def hold_work_folder(folder: Path) -> Generator[None]:
    """Lock a work folder, which is created if it is missing, and removed again if nothing was written there.

    Raises:
        FolderInUseError: if another process harvests into it.
        OSError: if it cannot be created or written to; says how to fix it.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with hold_folder(folder):
            yield
    finally:
        for each in new:
            with suppress(OSError):  # it is not empty
                each.rmdir()


def whole_end(node: Node) -> int:
    """The index after the last shard of a node.

    >>> whole_end((2, 3))
    16
    """
    level, index = node
    return (index + 1) << level


def _ledger(path: Path) -> Ledger:
    try:
        with open_safetensors(path) as file:
            metadata: dict[str, str] = file.metadata() or {}
        return [(str(shard), int(tokens)) for shard, tokens in parse_json(metadata["shards"], str(path))]
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged ({error}). {AGAIN}")
