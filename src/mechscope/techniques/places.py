"""Which positions a technique means: numbers, names of the task's, or every one by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mechscope.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Place:
    """One position, with the word for it on an axis."""

    label: str
    pos: int | torch.Tensor
    """A number, or one an example [batch]."""

    def take(self, values: torch.Tensor, axis: int = 1) -> torch.Tensor:
        """The values [batch ...] at this position of values whose positions lie along `axis`."""
        if isinstance(self.pos, int):
            return values.select(axis, self.pos)
        where = self.pos.to(values.device)
        return values.movedim(axis, 1)[torch.arange(len(where), device=values.device), where]


def each_place(task: Task) -> list[Place]:
    """Every position by itself; where prompts are not aligned, every named position.

    Raises:
        ValueError: where prompts are not aligned and no position has a name.
    """
    if task.aligned:
        return [Place(label, pos) for pos, label in enumerate(task.position_labels())]
    if not task.positions:
        raise ValueError(
            f"{task.name}: prompts are of different shapes and no positions have names, so effects cannot be told "
            "apart by position; give the task `positions`, or take all positions together."
        )
    return [Place(name, where) for name, where in task.positions.items()]


def named_places(task: Task, positions: Sequence[str | int] | str | int) -> list[Place]:
    """The positions that these numbers and names mean; numbers count each prompt's real tokens, -1 is the last.

    Raises:
        KeyError: for a name that the task does not have.
        ValueError: for an empty list, or a number out of range.
    """
    several = [positions] if isinstance(positions, (str, int)) else list(positions)
    if not several:
        raise ValueError("the list of positions is empty; name some, or leave it out for all.")
    return [_place(task, one) for one in several]


def _place(task: Task, one: str | int) -> Place:
    if isinstance(one, str):
        if one not in task.positions:
            raise KeyError(
                f"{task.name} has no position called {one!r}; it has {', '.join(map(repr, task.positions)) or 'none'}."
            )
        return Place(one, task.positions[one])
    shortest = task.length if task.lengths is None else int(task.lengths.min())
    if not -shortest <= one < shortest:
        which = "" if task.lengths is None else ", the tokens of the shortest prompt"
        raise ValueError(f"position {one} is outside 0 to {shortest - 1}{which}.")
    if one < 0 and task.lengths is not None and not bool((task.lengths == shortest).all()):
        return Place(str(one), task.lengths + one)
    pos = one % shortest
    return Place(task.position_labels()[pos] if task.aligned else str(pos), pos)
