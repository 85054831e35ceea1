"""The positions of a text that a dictionary was trained on, as a slice in its metadata; it is only used at these.

SAELens calls it `seqpos_slice`: (5, -5) leaves out the first and the last five tokens of each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool

from mechscope.arguments import is_whole_number

POSITIONS = "seqpos_slice"
"""Metadata key of the slice."""


@dataclass(frozen=True)
class TrainedPositions:
    """A slice of each text's real tokens."""

    slice: slice
    """Start, stop and step as in Python; negative numbers count from the end of the text."""

    def within(
        self, real: Bool[torch.Tensor, "batch pos"], prompt_positions: int | None = None
    ) -> Bool[torch.Tensor, "batch pos"]:
        """True at the real tokens that the slice selects, with padding on either side.

        >>> real = torch.tensor([[False, True, True, True], [True, True, True, True]])
        >>> TrainedPositions(slice(1, -1)).within(real).long().tolist()
        [[0, 0, 1, 0], [0, 1, 1, 0]]
        """
        lengths = real.sum(1)
        numbers = real.long().cumsum(1) - 1
        selected = torch.zeros_like(real)
        for length in lengths.unique().tolist():
            chosen = torch.zeros(real.shape[1] + 1, dtype=torch.bool, device=real.device)
            chosen[list(range(length)[self.slice])] = True
            selected |= (lengths == length)[:, None] & chosen[numbers]
        return selected & real

    def __str__(self) -> str:
        parts = [
            self.slice.start,
            self.slice.stop,
            *([self.slice.step] if self.slice.step is not None else []),
        ]
        return f"[{':'.join('' if part is None else str(part) for part in parts)}]"


def check_positions(value: object) -> TrainedPositions | None:
    """The slice described by one to three numbers or nulls, as in `slice(*value)`; None for all positions.

    >>> str(check_positions([5, -5])), check_positions([None])
    ('[5:-5]', None)

    Raises:
        ValueError: for anything else, or a step that is not positive.
    """
    if value is None:
        return None
    parts = list(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else []
    whole = all(part is None or is_whole_number(part) for part in parts)
    if not 1 <= len(parts) <= 3 or not whole or (len(parts) == 3 and parts[2] is not None and parts[2] < 1):
        raise ValueError(
            f"{POSITIONS} is a slice of positions as [stop], [start, stop] or [start, stop, step] with a step of at "
            f"least 1, not {value!r}."
        )
    found = slice(*(None if part is None else int(part) for part in parts))
    everything = found.start in (None, 0) and found.stop is None and found.step in (None, 1)
    return None if everything else TrainedPositions(found)


def trained_positions(dictionary: Any) -> TrainedPositions | None:
    """The positions named in a dictionary's metadata; None for all.

    Raises:
        ValueError: for metadata that is not a slice.
    """
    metadata: Any = getattr(dictionary, "metadata", None) or {}
    return check_positions(metadata.get(POSITIONS))
