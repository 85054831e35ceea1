"""A training run on disk: one file that is replaced as a whole, so that a crash leaves the last one."""

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

from mechscope.arguments import not_of_kind
from mechscope.reading import check_name, open_safetensors, parse_json
from mechscope.runs.key import NO_INPUTS, NO_SOURCE, RunKey, stale_message
from mechscope.storage.files import NotKeptError, keeping, write_atomically

log = logging.getLogger(__name__)

NAME = "training.safetensors"


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Where a run stands."""

    run: Mapping[str, Any]
    """What the run is: configs of training, dictionaries and stream, and digests of the source files."""
    step: int
    """Steps that are done."""
    seconds: float
    """Time that they took."""
    stream: Mapping[str, Any]
    """The place in the stream."""
    tensors: Mapping[str, Tensor]
    """Weights, optimizers, counters and the history."""

    def write(self, folder: Path) -> Path:
        """Replace the folder's checkpoint by this one."""
        described = {"run": self.run, "step": self.step, "seconds": self.seconds, "stream": self.stream}
        content = safetensors.torch.save(dict(self.tensors), {"training": json.dumps(described)})
        return write_atomically(folder / NAME, content)


class Keeper:
    """Writes checkpoints of one training, and does not end it where one cannot be written."""

    def __init__(self) -> None:
        self._warned = False

    def keep(self, checkpoint: TrainingCheckpoint, folder: Path, *, last: bool) -> None:
        """Replace the folder's checkpoint.

        So far nothing is lost that is not in memory: until the last checkpoint of a training, a full disk is one
        warning, and room may be made in the meantime.

        Raises:
            NotKeptError: if the last one cannot be written; the one before is still there.
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
    """The folder's checkpoint, or None where there is none.

    Args:
        parts: of tensors by name, what is read of them; the others are read whole.

    Raises:
        ValueError: if it is damaged, or belongs to another run; the error says where they differ.
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
    """At which step a training would go on, 0 where there is no checkpoint; reads nothing but what it says of itself.

    Raises:
        As `read_checkpoint`.
    """
    path = folder / NAME
    if not path.exists():
        return 0
    with _opened(path, run) as (_, described):
        return described["step"]


@contextmanager
def _opened(path: Path, run: Mapping[str, Any]) -> Generator[tuple[Any, dict[str, Any]]]:
    """A checkpoint's file and description, which is that of this run."""
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
    untold = {name: value for name, value in here["stream"].items() if name != "made_from"}
    if settings == {**key.settings, "stream": untold} and settings != key.settings:
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
