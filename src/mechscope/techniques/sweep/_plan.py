"""Which interventions run together: those that start at one position, in the order of their layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mechscope.techniques.sweep.edit import Edit


@dataclass(frozen=True, eq=False)
class Row:
    """One intervention, and from where it must be recomputed."""

    place: int
    """Its place in the caller's list."""
    edits: tuple[Edit, ...]
    layer: int
    """The first block with an edit."""
    start: int
    """The first position that changes."""

    @property
    def splits_inputs(self) -> bool:
        """Whether it makes heads read inputs of their own, which changes the shape of what others may edit."""
        return any(edit.site.splits_inputs for edit in self.edits)

    def at(self, layer: int) -> list[Edit]:
        """Its edits in one block."""
        return [edit for edit in self.edits if edit.site.layer == layer]


def plan(rows: Iterable[Row], rows_at_once: Callable[[int], int]) -> Iterator[list[Row]]:
    """Groups of interventions that one batch holds.

    A group starts at one position, so all its interventions recompute the same suffix; they join the
    batch layer by layer, each at its own first block.

    Args:
        rows: the interventions.
        rows_at_once: from the position at which they start to how many fit into a batch.
    """
    in_order = sorted(rows, key=lambda row: (row.start, row.splits_inputs, row.layer, row.place))
    for (start, _), together in itertools.groupby(in_order, key=lambda row: (row.start, row.splits_inputs)):
        waiting = list(together)
        # Equal groups, so that no last one runs nearly empty.
        count = -(-len(waiting) // max(1, rows_at_once(start)))
        yield from _cut(waiting, count)


def _cut(rows: Sequence[Row], count: int) -> Iterator[list[Row]]:
    for number in range(count):
        yield list(rows[len(rows) * number // count : len(rows) * (number + 1) // count])
