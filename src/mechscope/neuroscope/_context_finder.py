"""Find the contexts with the highest activations of each unit while a shard is read.

A document gives at most one context per unit: the one with the highest activation, the first of several. Whether two
documents' contexts are duplicates can only be decided when both documents have been read to their ends, so candidates
wait until then. Few tokens become candidates, because an activation must reach the last of the contexts that were kept
so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mechscope.neuroscope._ranking import FIELDS, best_of, rows_of, set_rows
from mechscope.neuroscope.state import Extremes

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings

ACTIVATIONS_AT_ONCE = 2**22
"""The most activations of candidates' sequences that are in memory at once."""
LARGEST = float(np.finfo(np.float16).max)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Rows:
    """What is known about the rows of a batch."""

    sequences: np.ndarray
    """The id of each row's sequence [batch]."""
    documents: np.ndarray
    """The number of each row's document in the shard [batch]."""
    keys: np.ndarray
    """The keys of the contexts that end at each token [batch pos]."""
    lengths: np.ndarray
    """The number of tokens of each row, without padding [batch]."""

    def best_in_document(self, peaks: np.ndarray) -> np.ndarray:
        """For each row, the highest of the numbers of all rows of its document [batch unit]."""
        order = np.argsort(self.documents, kind="stable")
        first = np.flatnonzero(np.diff(self.documents[order], prepend=-1))
        highest = np.maximum.reduceat(peaks[order], first)
        return highest[np.searchsorted(self.documents[order][first], self.documents)]


def context_keys(tokens: np.ndarray, same: int) -> np.ndarray:
    """A hash of the last `same` tokens up to each token [batch pos]; equal where these tokens are."""
    ids = tokens.astype(np.uint64) + np.uint64(1)
    keys = np.zeros(ids.shape, dtype=np.uint64)
    for back in reversed(range(same)):
        shifted = np.zeros_like(ids)
        shifted[:, back:] = ids[:, : max(0, ids.shape[1] - back)]
        keys = (keys ^ shifted) * _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return keys.view(np.int64)


class ContextFinder:
    """Keeps the best contexts of one site's units.

    Args:
        sign: 1 for the highest activations, -1 for the lowest.
        one_sided: only activations above 0 have contexts.
    """

    def __init__(
        self, units: int, settings: HarvestSettings, ranks: int, sign: int, *, one_sided: bool
    ) -> None:
        self.settings, self.ranks, self.sign = settings, ranks, sign
        self.best = Extremes.empty(units, ranks, settings.window)
        smallest = np.finfo(np.float32).tiny if one_sided else np.finfo(np.float32).min
        self.floor = np.float32(smallest)
        self.threshold = np.full(units, self.floor, dtype=np.float32)
        """What an activation, times the sign, must reach to become a candidate."""
        self.waiting = list[dict[str, np.ndarray]]()
        self.n_waiting = 0
        self.most_waiting = 4 * units

    def offer(self, values: Tensor, counts: Tensor, peaks: np.ndarray, rows: Rows) -> None:
        """Look for candidates in a batch.

        Args:
            values: activations [batch pos unit].
            counts: which tokens count [batch pos].
            peaks: the highest activations, times the sign, at tokens that count [batch unit]; minus infinity if there
                are none.
        """
        row, unit = np.nonzero((peaks >= self.threshold) & (peaks == rows.best_in_document(peaks)))
        step = max(1, ACTIVATIONS_AT_ONCE // values.shape[1])
        for start in range(0, len(row), step):
            some = slice(start, start + step)
            self._take(values, counts, peaks, rows, row[some], unit[some])

    def _take(
        self, values: Tensor, counts: Tensor, peaks: np.ndarray, rows: Rows, row: np.ndarray, unit: np.ndarray
    ) -> None:
        at_rows, at_units = (torch.from_numpy(index).to(values.device) for index in (row, unit))
        columns = values.transpose(1, 2)[at_rows, at_units].cpu().numpy()
        signed = np.where(counts.cpu().numpy()[row], columns * np.float32(self.sign), -np.inf)
        position = signed.argmax(1)
        self._add(
            {
                "unit": unit,
                "document": rows.documents[row],
                "value": peaks[row, unit] * np.float32(self.sign),
                "sequence": rows.sequences[row],
                "position": position.astype(np.int32),
                "key": rows.keys[row, position],
                "window": self._windows(columns, position, rows.lengths[row]),
            }
        )

    def settle(self, *, last: bool = False) -> None:
        """Add the candidates to the best contexts, if there are many of them or it is the last time.

        Every document that has been offered must be complete.
        """
        if not self.waiting or not (last or self.n_waiting >= self.most_waiting):
            return
        waiting = self._one_per_document()
        self.waiting, self.n_waiting = [], 0
        units, first, count = np.unique(waiting["unit"], return_index=True, return_counts=True)
        # One row per unit that has candidates, and as many columns as the one with the most has.
        row = np.repeat(np.arange(len(units)), count)
        column = np.arange(len(row)) - np.repeat(first, count)
        new = Extremes.empty(len(units), int(count.max()), self.settings.window)
        for name in FIELDS:
            getattr(new, name).numpy()[row, column] = waiting[name]
        best = best_of([rows_of(self.best, units), new], self.ranks, self.sign)
        set_rows(self.best, units, best)
        worst = best.value[:, -1].numpy() * np.float32(self.sign)
        full = best.sequence[:, -1].numpy() >= 0
        self.threshold[units] = np.where(full, np.maximum(worst, self.floor), self.floor)

    def _add(self, new: dict[str, np.ndarray]) -> None:
        self.waiting.append(new)
        self.n_waiting += len(new["unit"])
        # A long document gives candidates in many batches.
        if self.n_waiting >= 4 * self.most_waiting and len(self.waiting) > 1:
            self.waiting = [self._one_per_document()]
            self.n_waiting = len(self.waiting[0]["unit"])

    def _one_per_document(self) -> dict[str, np.ndarray]:
        """The best candidate per unit and document, in the order of the units."""
        found = {name: np.concatenate([each[name] for each in self.waiting]) for name in self.waiting[0]}
        order = np.lexsort((
            found["position"], found["sequence"], -self.sign * found["value"], found["document"], found["unit"],
        ))  # fmt: skip
        unit, document = found["unit"][order], found["document"][order]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (unit[1:] != unit[:-1]) | (document[1:] != document[:-1])
        chosen = order[is_first]
        return {name: each[chosen] for name, each in found.items()}

    def _windows(self, columns: np.ndarray, position: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        places = position[:, None] + np.arange(-self.settings.before, self.settings.after + 1)
        inside = (places >= 0) & (places < lengths[:, None])
        found = np.take_along_axis(columns, np.clip(places, 0, columns.shape[1] - 1), axis=1)
        return np.where(inside, np.clip(found, -LARGEST, LARGEST), 0).astype(np.float16)


def rows_of_batch(
    tokens: np.ndarray, real: np.ndarray, sequences: Sequence[int], documents: Sequence[int], same: int
) -> Rows:
    """What `offer` needs to know about the rows of a batch."""
    return Rows(np.array(sequences), np.array(documents), context_keys(tokens, same), real.sum(1))
