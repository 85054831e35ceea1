"""Plan a sweep: from where each intervention must be recomputed, and which interventions run together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mechscope.techniques.sweep.base_run import BaseRun
from mechscope.techniques.sweep.edit import Edit


@dataclass(frozen=True, eq=False)
class Row:
    """One intervention, and from where it must be recomputed."""

    place: int
    """Its index in the caller's list."""
    edits: tuple[Edit, ...]
    layer: int
    """The first block with an edit."""
    start: int
    """The first position that changes."""

    @property
    def splits_inputs(self) -> bool:
        """Whether heads read separate inputs, which changes the shape of activations for other edits."""
        return any(edit.site.splits_inputs for edit in self.edits)

    def at(self, layer: int) -> list[Edit]:
        """Its edits in one block."""
        return [edit for edit in self.edits if edit.site.layer == layer]


class Planner:
    """Finds where interventions begin to change a base run.

    Thousands of edits may share one value, so what is found about a value is remembered.

    Args:
        base: the run without interventions.
    """

    def __init__(self, base: BaseRun) -> None:
        self.base = base
        self._first_changes: dict[Any, int] = {}
        self._ahead: dict[Any, bool] = {}

    def row(self, place: int, edits: tuple[Edit, ...], free_suffix: bool, length: int) -> Row | None:
        """From where an intervention must be recomputed; None if it changes nothing that is read.

        Args:
            place: its index in the caller's list.
            edits: its edits.
            free_suffix: positions before an edit need not be recomputed.
            length: how many positions can matter.
        """
        if not free_suffix or any(map(self.looks_ahead, edits)):
            return Row(place, edits, min(edit.site.layer for edit in edits), 0)
        starts = [self._first_change(edit) for edit in edits]
        live = [(edit, start) for edit, start in zip(edits, starts, strict=True) if start < length]
        if not live:
            return None
        layer = min(edit.site.layer for edit, _ in live)
        return Row(place, tuple(edit for edit, _ in live), layer, min(start for _, start in live))

    def looks_ahead(self, edit: Edit) -> bool:
        """`edit.looks_ahead`, computed once for each value."""
        if not isinstance(edit.value, torch.Tensor):
            return edit.looks_ahead
        key = (edit.site.part, id(edit.value), edit.how)
        if key not in self._ahead:
            self._ahead[key] = edit.looks_ahead
        return self._ahead[key]

    def _first_change(self, edit: Edit) -> int:
        """The first position at which an edit changes anything; the length of the run if there is none.

        Prompts that begin alike have the same activations there, which need not be recomputed.
        """
        if edit.pos is not None or edit.how == "add" or not isinstance(edit.value, torch.Tensor):
            return edit.first
        key = (edit.hook, edit.value.data_ptr(), tuple(edit.value.stride()))
        if key not in self._first_changes:
            base = self.base[edit.hook]
            axis = 2 if edit.site.has_pattern_axes else 1
            differs = (edit.value.to(base) != base).movedim(axis, 0).flatten(1).any(1)
            first = int(differs.int().argmax()) if bool(differs.any()) else self.base.length
            self._first_changes[key] = first
        return self._first_changes[key]


def plan(rows: Iterable[Row], rows_at_once: Callable[[int], int]) -> Iterator[list[Row]]:
    """Divide interventions into groups that each fit into one batch.

    A group starts at one position, so all its interventions recompute the same suffix; they join the
    batch layer by layer, each at its own first block.

    Args:
        rows: the interventions.
        rows_at_once: from the position at which they start to how many fit into a batch.
    """
    in_order = sorted(rows, key=lambda row: (row.start, row.splits_inputs, row.layer, row.place))
    for (start, _), together in itertools.groupby(in_order, key=lambda row: (row.start, row.splits_inputs)):
        waiting = list(together)
        # Groups of equal size, so that the last one is not nearly empty.
        count = -(-len(waiting) // max(1, rows_at_once(start)))
        yield from _cut(waiting, count)


def _cut(rows: Sequence[Row], count: int) -> Iterator[list[Row]]:
    for number in range(count):
        yield list(rows[len(rows) * number // count : len(rows) * (number + 1) // count])
