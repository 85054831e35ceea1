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

from mechscope.dictionaries.differing import differences
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


def read_checkpoint(
    folder: Path, run: Mapping[str, Any], parts: Mapping[str, tuple[slice, ...]] | None = None
) -> TrainingCheckpoint | None:
    """The folder's checkpoint, or None where there is none.

    Args:
        parts: of tensors by name, what is read of them; the others are read whole.

    Raises:
        ValueError: if it is damaged, or belongs to another run; the error says where they differ.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {})["training"])
            # Compared as JSON has them: tuples are lists there.
            wanted = json.loads(json.dumps(run))
            if described["run"] != wanted:
                differ = "; ".join(differences(described["run"], wanted, "there", "here"))
                raise ValueError(
                    f"{path} belongs to another training run: {differ}. Give another folder, or remove the file to "
                    "begin anew."
                )
            tensors = {
                name: file.get_slice(name)[parts[name]] if parts and name in parts else file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
            }
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no checkpoint of a training run ({error}); remove it to begin anew."
        ) from error
    return TrainingCheckpoint(
        described["run"], described["step"], described["seconds"], described["stream"], tensors
    )
