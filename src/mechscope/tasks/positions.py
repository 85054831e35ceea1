"""Which positions of a task's prompts are meant: numbers, named positions, or every position separately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mechscope.arguments import brief_repr
from mechscope.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Position:
    """One position in every prompt of a task, with its label for an axis."""

    label: str
    pos: int | torch.Tensor
    """The same index for all prompts, or one index per example [batch]."""

    __repr__ = brief_repr

    def take(self, values: torch.Tensor, axis: int = 1) -> torch.Tensor:
        """Select this position from values whose positions lie along `axis`: [batch ...]."""
        if isinstance(self.pos, int):
            return values.select(axis, self.pos)
        where = self.pos.to(values.device)
        return values.movedim(axis, 1)[torch.arange(len(where), device=values.device), where]


def each_position(task: Task) -> list[Position]:
    """Every position if prompts are aligned, otherwise every named position.

    Raises:
        ValueError: if prompts are not aligned and the task names no positions.
    """
    if task.aligned:
        return [Position(label, pos) for pos, label in enumerate(task.position_labels())]
    if not task.positions:
        raise ValueError(
            f"{task.name}: prompts have different shapes and no positions have names, so effects cannot be separated "
            "by position; give the task `positions`, or take all positions together."
        )
    return [Position(name, where) for name, where in task.positions.items()]


def named_positions(task: Task, positions: Sequence[str | int] | str | int) -> list[Position]:
    """Look up positions given by number or by name.

    Numbers count the real tokens of each prompt; -1 is the last.

    Raises:
        KeyError: for a name that the task does not have.
        ValueError: for an empty list, or a number out of range.
    """
    several = [positions] if isinstance(positions, (str, int)) else list(positions)
    if not several:
        raise ValueError("the list of positions is empty; name at least one, or omit it for all.")
    return [_position(task, one) for one in several]


def _position(task: Task, one: str | int) -> Position:
    if isinstance(one, str):
        if one not in task.positions:
            raise KeyError(
                f"{task.name} has no position called {one!r}; it has {', '.join(map(repr, task.positions)) or 'none'}."
            )
        return Position(one, task.positions[one])
    shortest = task.length if task.lengths is None else int(task.lengths.min())
    if not -shortest <= one < shortest:
        which = "" if task.lengths is None else ", the tokens of the shortest prompt"
        raise ValueError(f"position {one} is outside 0 to {shortest - 1}{which}.")
    if one < 0 and task.lengths is not None and not bool((task.lengths == shortest).all()):
        return Position(str(one), task.lengths + one)
    pos = one % shortest
    return Position(task.position_labels()[pos] if task.aligned else str(pos), pos)
