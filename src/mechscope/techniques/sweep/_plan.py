"""Plan a sweep: from where each intervention must be recomputed, and which interventions run together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def by_layer(self) -> dict[int, list[Edit]]:
        """Its edits, by block."""
        found: dict[int, list[Edit]] = {}
        for edit in self.edits:
            found.setdefault(edit.site.layer, []).append(edit)
        return found

    def at(self, layer: int) -> list[Edit]:
        """Its edits in one block."""
        return self.by_layer.get(layer, [])

    @cached_property
    def identities(self) -> dict[int, tuple[object, ...]]:
        """What its edits do, by block: rows whose identities are equal so far have equal activations so far."""
        return {layer: tuple(edit.identity for edit in edits) for layer, edits in self.by_layer.items()}


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
    batch layer by layer, each at its own first block. Interventions that begin with the same edits are neighbours,
    because they share one row of the batch until their edits differ.

    Args:
        rows: the interventions.
        rows_at_once: from the position at which they start to how many fit into a batch.
    """
    in_order = [row for row, _ in _in_order(rows)]
    for (start, _), together in itertools.groupby(in_order, key=lambda row: (row.start, row.splits_inputs)):
        waiting = list(together)
        # Groups of equal size, so that the last one is not nearly empty.
        count = -(-len(waiting) // max(1, rows_at_once(start)))
        yield from _cut(waiting, count)


def share_of_passes(rows: Iterable[Row], n_layers: int, length: int) -> float:
    """How many full passes the rows amount to, if each block runs once for rows that are alike up to it.

    Args:
        rows: the interventions.
        n_layers: number of blocks of the model.
        length: number of positions of a full pass.
    """
    total, before = 0.0, None
    for row, steps in _in_order(rows):
        first = row.layer
        if before is not None and (before[0].start, before[1][:1]) == (row.start, steps[:1]):
            # Neighbours in this order share the longest common beginning that any two rows share.
            first = min((-layer for layer, _ in set(before[1]) ^ set(steps)), default=n_layers)
        total += max(0, n_layers - first) / n_layers * (length - row.start) / length
        before = row, steps
    return total


def _in_order(rows: Iterable[Row]) -> list[tuple[Row, tuple[tuple[int, int], ...]]]:
    """Rows in the order of a batch, each with its steps: (-block, a number for what is edited there).

    The minus puts a row before those that differ from it earlier, as if every block without edits were a step 0.
    """
    numbers: dict[tuple[object, ...], int] = {}

    def steps(row: Row) -> tuple[tuple[int, int], ...]:
        edited = sorted(row.identities.items(), key=lambda item: item[0])
        return tuple((-layer, numbers.setdefault(what, len(numbers))) for layer, what in edited)

    numbered = [(row, steps(row)) for row in rows]
    return sorted(
        numbered,
        key=lambda pair: (pair[0].start, pair[0].splits_inputs, pair[0].layer, pair[1], pair[0].place),
    )


def _cut(rows: Sequence[Row], count: int) -> Iterator[list[Row]]:
    for number in range(count):
        yield list(rows[len(rows) * number // count : len(rows) * (number + 1) // count])
