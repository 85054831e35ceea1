"""Where an experiment works: its settings, its seeds, a progress bar, and a bench of finished parts.

A part is a dictionary of tensors under a name. Once computed it lies on disk, so that a run that was
killed goes on where it stopped; training inside a part can be saved and resumed too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.labs.machine import made_on
from mechscope.reading import open_safetensors
from mechscope.storage.files import NotKeptError, keeping, write_atomically

log = logging.getLogger(__name__)

UNRECORDED = "a processor that was not recorded"
"""Shown for parts written by an older version."""

Part = dict[str, Tensor]


@dataclass
class Workshop:
    """What an experiment is given to work with."""

    config: Any
    """The budget's settings."""
    seeds: tuple[int, ...]
    """Seeds to run, one after another."""
    device: torch.device
    """Where to compute."""
    folder: Path
    """Where finished parts are kept."""
    fingerprint: str
    """Parts under another fingerprint belong to another run and are not used."""
    progress: bool | None = False
    """Show progress bars: True, False, or None for "where a person is watching"."""
    line: int | None = None
    """Which line below the cursor the bars take, where several steps run side by side; None for the next free one."""
    label: str = ""
    """What the bars' names begin with."""
    patience: float = 20.0
    """Seconds of training between two saved states."""
    seconds: float = 0.0
    """Time that the parts took, whoever computed them."""
    reused_seconds: float = 0.0
    """Time of the parts that an earlier run had finished."""
    machines: set[str] = field(default_factory=set)
    """Processors and thread counts that computed the parts, in words, including parts from earlier runs."""
    _put_aside_at: dict[str, float] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    _warned: bool = False

    def part(self, name: str, compute: Callable[[], Mapping[str, Tensor]]) -> Part:
        """The part `name`: read back if an earlier run with these settings finished it, else computed and kept.

        Raises:
            NotKeptError: if it cannot be written; the last saved state is still there.
        """
        path = self.folder / f"{name}.safetensors"
        kept = self._read(path)
        if kept is not None:
            part, metadata = kept
            self.machines.add(metadata.get("made_on", UNRECORDED))
            if name not in self._counted:
                spent = float(metadata.get("seconds", 0.0))
                self._counted.add(name)
                self.reused_seconds += spent
                self.seconds += spent
            return {key: tensor.to(self.device) for key, tensor in part.items()}
        here = made_on(self.device)
        self.machines.add(here)
        before = self._spent_before(name)
        begun = time.monotonic()
        part = {key: tensor.detach().contiguous() for key, tensor in compute().items()}
        spent = time.monotonic() - begun + before
        self._counted.add(name)
        self.reused_seconds += before
        self.seconds += spent
        self._write(path, part, {"seconds": f"{spent:.3f}", "made_on": here})
        self.state_path(name).unlink(missing_ok=True)
        return part

    def put_aside(self, name: str, state: Callable[[], Mapping[str, Tensor]], *, now: bool = False) -> None:
        """Keep the state of an unfinished training, at most once every `patience` seconds unless `now`.

        Where it cannot be written the training goes on, with one warning: so far nothing is lost.
        """
        clock = time.monotonic()
        begun = self._put_aside_at.setdefault(name, clock)
        if not now and clock - begun < self.patience:
            return
        spent = clock - begun + self._spent_before(name)
        self._put_aside_at[name] = clock
        tensors = {key: tensor.detach().contiguous() for key, tensor in state().items()}
        try:
            self._write(self.state_path(name), tensors, {"seconds": f"{spent:.3f}"})
        except NotKeptError as error:
            if not self._warned:
                log.warning("%s Training continues.", error)
            self._warned = True

    def take_up(self, name: str) -> Part | None:
        """The saved state of `name`, or None if there is none to resume from."""
        self._put_aside_at[name] = time.monotonic()
        kept = self._read(self.state_path(name))
        return None if kept is None else {key: tensor.to(self.device) for key, tensor in kept[0].items()}

    def state_path(self, name: str) -> Path:
        """Where the state of an unfinished part is saved."""
        return self.folder / f"{name}.unfinished.safetensors"

    def bar(self, total: int, what: str, done: int = 0) -> tqdm[Any]:
        """A progress bar over `total` steps with the time left; silent where progress is off."""
        # tqdm takes None to mean: only on a terminal.
        disable = None if self.progress is None else not self.progress
        return tqdm(
            total=total,
            initial=done,
            desc=f"{self.label}{what}",
            position=self.line,
            unit="step",
            disable=disable,
            leave=False,
            dynamic_ncols=True,
        )

    def _spent_before(self, name: str) -> float:
        kept = self._read(self.state_path(name))
        return 0.0 if kept is None else float(kept[1].get("seconds", 0.0))

    def _write(self, path: Path, part: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
        # safetensors refuses tensors that share memory; a part may hold views of one array.
        tensors = {key: tensor.cpu().clone() for key, tensor in part.items()}
        with keeping(path):
            write_atomically(
                path, safetensors.torch.save(tensors, {"fingerprint": self.fingerprint, **metadata})
            )

    def _read(self, path: Path) -> tuple[Part, dict[str, str]] | None:
        if not path.is_file():
            return None
        try:
            with open_safetensors(path) as file:
                metadata: dict[str, str] = file.metadata() or {}
                if metadata.get("fingerprint") != self.fingerprint:
                    return None
                float(metadata.get("seconds", 0.0))
                return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            log.warning("%s is damaged (%s); it is computed again.", path, error)
            return None
