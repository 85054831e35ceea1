"""Training checkpoints: which steps were saved, and where: in a revision of a repository, or in a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PYTHIA_STEPS = (0, *(2**k for k in range(10)), *range(1_000, 143_001, 1_000))
STANFORD_STEPS = (
    *range(0, 100, 10),
    *range(100, 2_000, 50),
    *range(2_000, 20_000, 100),
    *range(20_000, 400_001, 1_000),
)
OWN_FILE = "checkpoints/step-{}.safetensors"
"""Where our own folders store the weights of a step."""


@dataclass(frozen=True)
class Schedule:
    """The training steps whose weights a repository or a folder contains."""

    steps: tuple[int, ...]
    revision: str
    """Pattern of a revision's name (in our own folders, of a file's), with `{}` for the step."""


def schedule_of(hub_id: str) -> Schedule | None:
    """The schedule of a repository, or None if it has only its final weights."""
    if hub_id.lower().startswith("eleutherai/pythia-"):
        return Schedule(PYTHIA_STEPS, "step{}")
    if hub_id.lower().startswith("stanford-crfm/"):
        return Schedule(STANFORD_STEPS, "checkpoint-{}")
    return None


def schedule_in(folder: Path) -> Schedule | None:
    """The schedule of one of our folders, from its files; None if it has only its final weights."""
    found = (re.fullmatch(r"step-(\d+)", path.stem) for path in folder.glob(OWN_FILE.format("*")))
    steps = sorted(int(match[1]) for match in found if match)
    return Schedule(tuple(steps), OWN_FILE) if steps else None


def find_step(schedule: Schedule, name: str, index: int | None, value: int | None) -> tuple[int, int]:
    """(index, step) of a checkpoint given by its index (negative counts from the end) or by its step.

    Raises:
        ValueError: if both are given, the index is out of range, or the step was not saved.
    """
    steps = schedule.steps
    if index is not None and value is not None:
        raise ValueError(f"give checkpoint_index ({index}) or checkpoint_value ({value}), not both.")
    if value is not None:
        if value not in steps:
            near = sorted(steps, key=lambda step: abs(step - value))[:2]
            nearest = f"nearest are {near[0]} and {near[1]}" if len(near) > 1 else f"only one is {near[0]}"
            raise ValueError(
                f"{name} has no checkpoint at step {value}; the {nearest} "
                f"({len(steps)} from {steps[0]} to {steps[-1]})."
            )
        return steps.index(value), value
    assert index is not None
    if not -len(steps) <= index < len(steps):
        raise ValueError(f"{name} has {len(steps)} checkpoints; checkpoint_index={index} is out of range.")
    return index % len(steps), steps[index]
