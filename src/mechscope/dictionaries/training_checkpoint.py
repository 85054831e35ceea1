"""Checkpoints of a training run: one file that is replaced atomically, so that a crash leaves the previous one."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from mechscope.arguments import brief_repr, not_of_kind
from mechscope.reading import check_name, open_safetensors, parse_json
from mechscope.runs.key import NO_INPUTS, NO_SOURCE, RunKey, stale_message
from mechscope.storage.files import NotKeptError, keeping, write_atomically

log = logging.getLogger(__name__)

NAME = "training.safetensors"


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The state of a run after a step."""

    run: Mapping[str, Any]
    """What identifies the run: configs of training, dictionaries and stream, and digests of the source files."""
    step: int
    """Number of completed steps."""
    seconds: float
    """Duration of these steps."""
    stream: Mapping[str, Any]
    """The position in the stream."""
    tensors: Mapping[str, Tensor]
    """Weights, optimizers, counters and the history."""

    __repr__ = brief_repr

    def write(self, folder: Path) -> Path:
        """Replace the folder's checkpoint with this one."""
        described = {"run": self.run, "step": self.step, "seconds": self.seconds, "stream": self.stream}
        content = safetensors.torch.save(dict(self.tensors), {"training": json.dumps(described)})
        return write_atomically(folder / NAME, content)


class Keeper:
    """Writes the checkpoints of one run, which continues if one cannot be written."""

    def __init__(self) -> None:
        self._warned = False

    def keep(self, checkpoint: TrainingCheckpoint, folder: Path, *, last: bool) -> None:
        """Replace the folder's checkpoint.

        Until the last checkpoint, nothing is lost if the disk is full, because everything is still in memory: there is
        one warning, and the user can free some space.

        Raises:
            NotKeptError: if the last checkpoint cannot be written; the previous one is still there.
        """
        try:
            with keeping(folder / NAME):
                checkpoint.write(folder)
        except NotKeptError as error:
            if last:
                raise
            if not self._warned:
                log.warning("%s Training continues.", error)
            self._warned = True


def read_checkpoint(
    folder: Path, run: Mapping[str, Any], parts: Mapping[str, tuple[slice, ...]] | None = None
) -> TrainingCheckpoint | None:
    """The folder's checkpoint, or None if there is none.

    Args:
        parts: the slices to read of some tensors, by name; the others are read whole.

    Raises:
        ValueError: if it is damaged, or belongs to another run; the error lists the differences.
    """
    path = check_name(folder / NAME)
    if not path.exists():
        return None
    with _opened(path, run) as (file, described):
        tensors = {
            name: file.get_slice(name)[parts[name]] if parts and name in parts else file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
        }
    return TrainingCheckpoint(
        described["run"], described["step"], described["seconds"], described["stream"], tensors
    )


def steps_done(folder: Path, run: Mapping[str, Any]) -> int:
    """The step from which a run would resume, 0 without a checkpoint; reads only the checkpoint's description.

    Raises:
        ValueError: as `read_checkpoint`.
    """
    path = folder / NAME
    if not path.exists():
        return 0
    with _opened(path, run) as (_, described):
        return described["step"]


@contextmanager
def _opened(path: Path, run: Mapping[str, Any]) -> Generator[tuple[Any, dict[str, Any]]]:
    """The open file and the description of a checkpoint, after checking that it belongs to this run."""
    try:
        with open_safetensors(
            path, fix="It is not a checkpoint of a training run: remove it to start over."
        ) as file:
            described = parse_json((file.metadata() or {}).get("training", "null"), str(path))
            if not _is_description(described):
                raise ValueError(
                    f"{path} {_NO_CHECKPOINT.format('it does not identify the run or the step')}"
                )
            _check_same(path, described["run"], run)
            yield file, described
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f"{path} {_NO_CHECKPOINT.format(error)}") from error


_NO_CHECKPOINT = "is not a checkpoint of a training run ({}); remove it to start over."


def _is_description(described: Any) -> bool:
    kinds = {"run": dict, "step": int, "seconds": (int, float), "stream": dict}
    return (
        isinstance(described, dict)
        and all(isinstance(described.get(name), kind) for name, kind in kinds.items())
        and not_of_kind(described["step"], int) is None
        and not_of_kind(described["seconds"], float) is None
        and described["step"] >= 0
        and isinstance(described["run"].get("stream"), dict)
    )


def _check_same(path: Path, there: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    # Compared as JSON has them: tuples are lists there.
    here = json.loads(json.dumps(run))
    if there == here:
        return
    key = RunKey(_without_source(here), source=here.get("source", {}))
    settings = _without_source(there)
    without_inputs = {name: value for name, value in here["stream"].items() if name != "made_from"}
    if settings == {**key.settings, "stream": without_inputs} and settings != key.settings:
        changes = NO_INPUTS
    elif settings == key.settings and "source" not in there:
        changes = NO_SOURCE
    else:
        stored = {"settings": settings, "inputs": {}, "source": there.get("source", key.source)}
        changes = key.changes_since(stored)
    advice = "Give another folder, or remove the file to start over."
    raise ValueError(stale_message(path, changes, advice, "another training run"))


def _without_source(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != "source"}
