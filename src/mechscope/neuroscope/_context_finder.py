"""Find the contexts with the highest activations of each unit while a shard is read.

A document gives at most one context per unit: the one with the highest activation, the first of several. Whether two
documents' contexts are duplicates can only be decided when both documents have been read to their ends, so candidates
wait until then. Few tokens become candidates, because an activation must reach the last of the contexts that were kept
so far.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
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

    of_long_documents: list[tuple[int, np.ndarray]]
    """The documents that have several sequences, each with its rows."""


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
        self.reached = dict[int, np.ndarray]()
        """For each document that is not complete, the highest activations so far, times the sign [unit]."""
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
        wanted = peaks >= self.threshold
        for document, some in rows.of_long_documents:
            found = peaks[some]
            best = found.max(0)
            if document in self.reached:
                np.maximum(best, self.reached[document], out=best)
            self.reached[document] = best
            wanted[some] &= found == best
        # Much faster than wanted.nonzero().
        row, unit = np.divmod(np.flatnonzero(wanted), wanted.shape[1])
        step = max(1, ACTIVATIONS_AT_ONCE // (values.shape[1] + self.settings.window))
        for start in range(0, len(row), step):
            some = slice(start, start + step)
            self._take(values, counts, peaks, rows, row[some], unit[some])

    def _take(
        self, values: Tensor, counts: Tensor, peaks: np.ndarray, rows: Rows, row: np.ndarray, unit: np.ndarray
    ) -> None:
        at_rows, at_units = (torch.from_numpy(index).to(values.device) for index in (row, unit))
        columns = values.transpose(1, 2)[at_rows, at_units].cpu().numpy()
        value = peaks[row, unit] * np.float32(self.sign)
        # The first of equal ones.
        position = ((columns == value[:, None]) & counts.cpu().numpy()[row]).argmax(1)
        self._add(
            {
                "unit": unit,
                "document": rows.documents[row],
                "value": value,
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
        self.reached.clear()
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
        # A long document gives candidates in many batches. Twice as many as last time, so that little is sorted twice.
        if self.n_waiting >= max(4 * self.most_waiting, 2 * len(self.waiting[0]["unit"])):
            self.waiting = [self._one_per_document()]
            self.n_waiting = len(self.waiting[0]["unit"])

    def _one_per_document(self) -> dict[str, np.ndarray]:
        """The best candidate per unit and document, in the order of the units."""
        found = {name: np.concatenate([each[name] for each in self.waiting]) for name in self.waiting[0]}
        pair = found["unit"] * (int(found["document"].max()) + 1) + found["document"]
        order = np.lexsort((found["sequence"], -self.sign * found["value"], pair))
        is_first = np.diff(pair[order], prepend=-1) > 0
        chosen = order[is_first]
        return {name: each[chosen] for name, each in found.items()}

    def _windows(self, columns: np.ndarray, position: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        before, after, length = self.settings.before, self.settings.after, columns.shape[1]
        padded = np.zeros((len(columns), before + length + after), dtype=np.float32)
        padded[:, before : before + length] = columns
        if int(lengths.min()) < length:
            padded[:, before : before + length][np.arange(length) >= lengths[:, None]] = 0
        windows = sliding_window_view(padded, before + 1 + after, axis=1)[np.arange(len(columns)), position]
        # PyTorch, because NumPy rounds to half precision slowly.
        return torch.from_numpy(np.clip(windows, -LARGEST, LARGEST, out=windows)).half().numpy()


def rows_of_batch(
    tokens: np.ndarray,
    real: np.ndarray,
    sequences: Sequence[int],
    documents: Sequence[int],
    same: int,
    long: Container[int],
) -> Rows:
    """What `offer` needs to know about the rows of a batch.

    Args:
        long: the documents that have several sequences, in this batch or in others.
    """
    numbers = np.array(documents)
    of_long = [
        (number, np.flatnonzero(numbers == number)) for number in sorted(set(documents)) if number in long
    ]
    return Rows(np.array(sequences), numbers, context_keys(tokens, same), real.sum(1), of_long)
