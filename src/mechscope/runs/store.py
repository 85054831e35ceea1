"""A folder of finished and unfinished work, each file with the key of what computed it.

One policy for all of it: work is reused only if its key is the current one. Work under another key is reported with
what has changed and stays where it is until new work takes its place.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from mechscope.reading import open_safetensors, parse_json, read_json_object
from mechscope.runs.key import AGAIN, RunKey, stale_message
from mechscope.storage.files import keeping, write_atomically

log = logging.getLogger(__name__)


class Store:
    """Named tensors and JSON objects in a folder, which are given back only under the key that they were written with.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Store(folder, RunKey({"steps": 10})).write_json("result", {"loss": 0.5})
    >>> Store(folder, RunKey({"steps": 10})).read_json("result")
    {'loss': 0.5}
    >>> Store(folder, RunKey({"steps": 20})).read_json("result") is None
    True

    Args:
        folder: where the files go; made when the first one is written.
        key: what decides the work.
    """

    def __init__(self, folder: str | Path, key: RunKey) -> None:
        self.folder = Path(folder)
        self.key = key
        self._reported: set[Path] = set()

    def tensors_path(self, name: str) -> Path:
        """The file of named tensors."""
        return self.folder / f"{name}.safetensors"

    def json_path(self, name: str) -> Path:
        """The file of a named JSON object."""
        return self.folder / f"{name}.json"

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Replace the tensors stored under a name.

        Raises:
            NotKeptError: if they cannot be written; what was stored before is still there.
        """
        path = self.tensors_path(name)
        # safetensors refuses tensors that share memory, and several of these may be views of one.
        copies = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        described = {**(metadata or {}), "key": json.dumps(self.key.to_dict())}
        with keeping(path):
            write_atomically(path, safetensors.torch.save(copies, described))

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """The tensors stored under a name and their metadata; None if there are none for this key.

        A damaged file, and one of another key, is reported in the log.
        """
        path = self.tensors_path(name)
        if not path.is_file():
            return None
        try:
            with open_safetensors(path) as file:
                metadata: dict[str, str] = file.metadata() or {}
                float(metadata.get("seconds", 0.0))
                stored = parse_json(metadata.get("key", "null"), str(path))
                if not self._is_current(path, stored):
                    return None
                return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            self._report(path, f"{path} is damaged ({error}). {AGAIN}")
            return None

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace the JSON object stored under a name.

        Raises:
            NotKeptError: if it cannot be written; what was stored before is still there.
        """
        path = self.json_path(name)
        with keeping(path):
            described = {"key": self.key.to_dict(), "content": content}
            write_atomically(path, json.dumps(described, indent=1) + "\n")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The JSON object stored under a name; None if there is none for this key.

        A damaged file, and one of another key, is reported in the log.
        """
        path = self.json_path(name)
        if not path.is_file():
            return None
        try:
            described = read_json_object(path)
        except (OSError, ValueError) as error:
            self._report(path, f"{path} is damaged ({error}). {AGAIN}")
            return None
        if not self._is_current(path, described.get("key")):
            return None
        content = described.get("content")
        if not isinstance(content, dict):
            self._report(path, f"{path} is damaged (it has no content). {AGAIN}")
            return None
        return content

    def _is_current(self, path: Path, stored: object) -> bool:
        changes = self.key.changes_since(stored)
        if changes:
            self._report(path, stale_message(path, changes, AGAIN))
        return not changes

    def _report(self, path: Path, message: str) -> None:
        if path not in self._reported:
            log.warning("%s", message)
        self._reported.add(path)
