"""A training run on disk: one file that is replaced as a whole, so that a crash leaves the last one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from mechscope.results.files import write_atomically

NAME = "training.safetensors"


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Where a run stands."""

    run: Mapping[str, Any]
    """What the run is: configs of training, dictionaries and stream."""
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


def read_checkpoint(folder: Path, run: Mapping[str, Any]) -> TrainingCheckpoint | None:
    """The folder's checkpoint, or None where there is none.

    Raises:
        ValueError: if it is damaged, or belongs to another run; the error says where they differ.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no checkpoint of a training run ({error}); remove it to begin anew."
        ) from error
    # Compared as JSON has them: tuples are lists there.
    wanted = json.loads(json.dumps(run))
    if described["run"] != wanted:
        raise ValueError(
            f"{path} belongs to another training run: {'; '.join(_differences(described['run'], wanted))}. "
            "Give another folder, or remove the file to begin anew."
        )
    return TrainingCheckpoint(
        described["run"], described["step"], described["seconds"], described["stream"], tensors
    )


def _differences(there: Any, here: Any, at: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        names = [*dict.fromkeys([*there, *here])]
        return [
            line
            for name in names
            for line in _differences(there.get(name), here.get(name), f"{at}.{name}" if at else name)
        ]
    return [] if there == here else [f"{at} is {there!r} there and {here!r} here"]
