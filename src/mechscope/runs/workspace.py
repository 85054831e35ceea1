"""What an experiment or a training is given to work with: settings, seeds, progress bars, and a store of its parts.

A part is a dictionary of tensors under a name. A finished part is read back by the next run; an unfinished one goes on
from its last saved state. A part is reused only while its settings, its inputs, the values that its function captured
and the source files that compute it are what they were.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.runs.captured_values import describe_captured, modules_of
from mechscope.runs.key import RunKey
from mechscope.runs.machine import made_on
from mechscope.runs.progress_file import progress_reporter
from mechscope.runs.source_digest import source_digests
from mechscope.runs.store import Store
from mechscope.storage.files import NotKeptError

log = logging.getLogger(__name__)

UNRECORDED = "a processor that was not recorded"
"""Shown for parts written by an older version."""

Part = dict[str, Tensor]


@dataclass
class Workspace:
    """What an experiment is given to work with."""

    config: Any
    """The budget's settings."""
    seeds: tuple[int, ...]
    """Seeds to run, one after another."""
    device: torch.device
    """Where to compute."""
    folder: Path
    """Where parts are stored."""
    key: RunKey = field(default_factory=lambda: RunKey({}))
    """What decides the whole run. Its source files are those of every part whose function captured more than
    plain values."""
    progress: bool | None = False
    """Show progress bars: True, False, or None for "on a terminal"."""
    line: int | None = None
    """Which line below the cursor the bars take if several runs share the terminal; None for the next free one."""
    label: str = ""
    """What the bars' names begin with."""
    save_every: float = 20.0
    """Seconds of training between two saved states."""
    seconds: float = 0.0
    """Time that the parts took, including earlier runs."""
    reused_seconds: float = 0.0
    """Time of the parts that an earlier run had finished."""
    machines: set[str] = field(default_factory=set)
    """Processors and thread counts that computed the parts, in words, including parts from earlier runs."""
    _saved_at: dict[str, float] = field(default_factory=dict)
    _stores: dict[str, Store] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    _reported: set[str] = field(default_factory=set)
    _warned: bool = False

    def load_or_compute(self, name: str, compute: Callable[[], Mapping[str, Tensor]]) -> Part:
        """The part `name`: read back if an earlier run finished it and nothing has changed since, else computed.

        Raises:
            NotKeptError: if it cannot be written; the state that was saved last is still there.
        """
        store = self._stores[name] = Store(self.folder, self._part_key(compute))
        stored = store.read_tensors(name)
        if stored is not None:
            part, metadata = stored
            self.machines.add(metadata.get("made_on", UNRECORDED))
            if name not in self._counted:
                spent = float(metadata.get("seconds", 0.0))
                self._counted.add(name)
                self.reused_seconds += spent
                self.seconds += spent
            self._report_part(name)
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
        store.write_tensors(name, part, {"seconds": f"{spent:.3f}", "made_on": here})
        self._remove_unfinished(name)
        self._report_part(name)
        return part

    def save_state(self, name: str, state: Callable[[], Mapping[str, Tensor]], *, now: bool = False) -> None:
        """Save the state of an unfinished training, at most once every `save_every` seconds unless `now`.

        If it cannot be written the training goes on, with one warning: so far nothing is lost.
        """
        clock = time.monotonic()
        begun = self._saved_at.setdefault(name, clock)
        if not now and clock - begun < self.save_every:
            return
        spent = clock - begun + self._spent_before(name)
        self._saved_at[name] = clock
        try:
            self._store(name).write_tensors(_unfinished(name), state(), {"seconds": f"{spent:.3f}"})
        except NotKeptError as error:
            if not self._warned:
                log.warning("%s Training continues.", error)
            self._warned = True

    def restore_state(self, name: str) -> Part | None:
        """The state last saved under `name`; None if there is none to go on from."""
        self._saved_at[name] = time.monotonic()
        stored = self._store(name).read_tensors(_unfinished(name))
        return None if stored is None else {key: tensor.to(self.device) for key, tensor in stored[0].items()}

    def state_path(self, name: str) -> Path:
        """The file of an unfinished part's state."""
        return self._store(name).tensors_path(_unfinished(name))

    def unfinished_folder(self, name: str) -> Path:
        """A folder for a part that keeps its own checkpoints; it is removed once the part is finished."""
        key = self._store(name).key
        return self.folder / f"{name}-{key.name}-{key.code}.unfinished"

    def bar(self, total: int, what: str, done: int = 0) -> tqdm[Any]:
        """A progress bar over `total` steps with the time left; silent where progress is off."""
        # tqdm takes None to mean: only on a terminal.
        disable = None if self.progress is None else not self.progress
        return _Bar(
            total=total,
            initial=done,
            desc=f"{self.label}{what}",
            position=self.line,
            unit="step",
            disable=disable,
            leave=False,
            dynamic_ncols=True,
        )

    def part(self, name: str, compute: Callable[[], Mapping[str, Tensor]]) -> Part:
        """The old name of `load_or_compute`."""
        _renamed("part", "load_or_compute")
        return self.load_or_compute(name, compute)

    def put_aside(self, name: str, state: Callable[[], Mapping[str, Tensor]], *, now: bool = False) -> None:
        """The old name of `save_state`."""
        _renamed("put_aside", "save_state")
        self.save_state(name, state, now=now)

    def take_up(self, name: str) -> Part | None:
        """The old name of `restore_state`."""
        _renamed("take_up", "restore_state")
        return self.restore_state(name)

    def _report_part(self, name: str) -> None:
        if name not in self._reported and (reporter := progress_reporter()):
            reporter.part()
        self._reported.add(name)

    def _part_key(self, compute: Callable[[], Mapping[str, Tensor]]) -> RunKey:
        captured = describe_captured(compute, known=(Workspace,))
        if captured is not None:
            settings = {**self.key.settings, "part": captured.values}
            return RunKey(settings, self.key.inputs, source_digests(*sorted(captured.modules)))
        source = {**self.key.source, **source_digests(*sorted(modules_of(compute)))}
        return self.key.with_source(source)

    def _store(self, name: str) -> Store:
        return self._stores.setdefault(name, Store(self.folder, self.key))

    def _spent_before(self, name: str) -> float:
        stored = self._store(name).read_tensors(_unfinished(name))
        return 0.0 if stored is None else float(stored[1].get("seconds", 0.0))

    def _remove_unfinished(self, name: str) -> None:
        """Remove what a finished part has replaced."""
        self.state_path(name).unlink(missing_ok=True)
        replaced = re.compile(rf"{re.escape(name)}(-[0-9a-f]{{16}}){{1,2}}\.unfinished")
        for path in self.folder.iterdir():
            if replaced.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


class _Bar(tqdm):  # type: ignore[type-arg]
    """A progress bar that also tells the program that started this one, whether the bar itself is shown or not."""

    def __init__(self, *, total: int, initial: int, desc: str, **options: Any) -> None:
        self._activity, self._done, self._steps = desc, initial, total
        super().__init__(total=total, initial=initial, desc=desc, **options)
        self._report()

    def update(self, n: float | None = 1) -> bool | None:
        """Count steps."""
        self._done += int(n or 0)
        self._report()
        return super().update(n)

    def _report(self) -> None:
        if reporter := progress_reporter():
            reporter.step(self._activity, self._done, self._steps)


def _renamed(old: str, new: str) -> None:
    warnings.warn(
        f"{old} is now called {new}. The old name will go in the next version.",
        DeprecationWarning,
        stacklevel=3,
    )


def _unfinished(name: str) -> str:
    return f"{name}.unfinished"
