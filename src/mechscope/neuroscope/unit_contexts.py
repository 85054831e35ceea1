"""The contexts of a unit: the highest and lowest from the harvest, those at quantiles and at random from the sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.neuroscope.contents import StoredContext
from mechscope.neuroscope.sample_pass import Sample, SiteActivations

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.state import Extremes
    from mechscope.neuroscope.units import ContextKind

DECILES = tuple(tenth / 10 for tenth in range(1, 10))
"""The quantiles at which contexts are taken."""
RANDOM = 5
"""How many random contexts a unit gets."""
UNITS_AT_ONCE = 64
"""How many units' activations are sorted at once."""
FAR = 64
"""How many ranks a context may be from its quantile to come from a document that is not shown yet."""


def extreme_contexts(
    extremes: Extremes, kind: ContextKind, unit: int, tokens: Mapping[int, Tensor], before: int
) -> Iterator[StoredContext]:
    """A unit's highest or lowest contexts, the most extreme first.

    Args:
        tokens: the tokens of each sequence.
        before: how many activations are kept before the focus.
    """
    for rank, sequence in enumerate(extremes.sequence[unit].tolist()):
        if sequence < 0:
            return
        position = int(extremes.position[unit, rank])
        own = tokens[sequence]
        start = max(0, position - before)
        first = before - (position - start)
        shown = min(extremes.window.shape[-1] - first, len(own) - start)
        yield StoredContext(
            kind,
            float(extremes.value[unit, rank]),
            sequence,
            position,
            int(own[position]),
            start,
            extremes.window[unit, rank, first : first + shown].float().numpy(),
        )


def stable_order(rows: Float[np.ndarray, "row column"]) -> Int[np.ndarray, "row column"]:
    """The columns of each row from its lowest to its highest value; of equal values, the earlier column comes first.

    The same as NumPy's and PyTorch's stable sorting, at half the time: a value and its column are packed into one
    integer, and integers are sorted fast.

    Args:
        rows: finite numbers in float32.

    >>> stable_order(np.array([[1.5, -2.0, 0.0, -0.0, -3.0]], np.float32)).tolist()
    [[4, 1, 2, 3, 0]]
    """
    bits = (rows + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0, whose bits are others
    # Floating-point numbers ascend as their bits do, negative ones the other way round.
    packed = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    packed <<= 32
    packed |= np.arange(rows.shape[1])
    packed.sort(axis=1)
    return packed & 0xFFFFFFFF


class SampleContexts:
    """Contexts from the sample for the units of one site.

    At a site where the sign matters, quantiles are those of all activations; elsewhere those of the activations above
    0, since most others are nearly 0. The `quantile` of a context is always the share of all activations below it.

    Args:
        read: the site's activations on the sample.
        number: the number of the site, for the random draw.
    """

    def __init__(self, sample: Sample, read: SiteActivations, settings: HarvestSettings, number: int) -> None:
        self.sample, self.read, self.settings, self.number = sample, read, settings, number
        self.starts = sample.starts
        self.rows = np.flatnonzero(read.counts.numpy())
        """The tokens that count, among all tokens of the sample."""
        self.sequence = np.repeat(np.arange(len(sample.ids)), np.diff(self.starts))
        names = {name: index for index, name in enumerate(dict.fromkeys(sample.documents))}
        self.document = np.array([names[name] for name in sample.documents], np.int64)
        self.n_documents = len(names)

    def of_units(self) -> Iterator[list[StoredContext]]:
        """For each unit in turn, its quantile contexts and then its random ones."""
        values = self.read.values[torch.from_numpy(self.rows)]
        for start in range(0, self.read.site.units, UNITS_AT_ONCE):
            some = values[:, start : start + UNITS_AT_ONCE].T.contiguous()
            order = stable_order(some.numpy())
            ordered = np.take_along_axis(some.numpy(), order, axis=1)
            for offset in range(len(some)):
                unit = start + offset
                yield [
                    *self._at_quantiles(unit, ordered[offset], order[offset]),
                    *self._at_random(unit),
                ]

    def _at_quantiles(
        self,
        unit: int,
        ordered: Float[np.ndarray, " rank"],
        order: Int[np.ndarray, " rank"],
    ) -> Iterator[StoredContext]:
        lowest = 0 if self.read.site.signed else int(np.searchsorted(ordered, 0.0, side="right"))
        number = len(ordered) - lowest
        if not number:
            return
        shown, used = set[int](), set[int]()
        for share in DECILES:
            rank = self._free_rank(lowest + round(share * (number - 1)), lowest, order, used)
            if rank in shown:  # a unit that is above 0 at fewer than nine tokens
                continue
            shown.add(rank)
            below = int(np.searchsorted(ordered, ordered[rank], side="left"))
            yield self._context("quantile", unit, int(order[rank]), below / len(ordered))

    def _free_rank(self, rank: int, lowest: int, order: Int[np.ndarray, " rank"], used: set[int]) -> int:
        """The closest rank whose document is not shown yet; the rank itself if there is none nearby."""
        for distance in range(FAR):
            for near in (rank + distance, rank - distance):
                if lowest <= near < len(order):
                    document = self._document(int(order[near]))
                    if document not in used:
                        used.add(document)
                        return near
        return rank

    def _at_random(self, unit: int) -> Iterator[StoredContext]:
        draw = np.random.default_rng([self.settings.seed, self.number, unit])
        # Documents of quantile contexts may come again: these are documents in which the unit fires, and without them
        # random contexts would show it more seldom than it does.
        used, found = set[int](), 0
        if not len(self.rows):
            return
        # Each place once, in the order of the draw.
        for place in dict.fromkeys(draw.integers(len(self.rows), size=FAR).tolist()):
            document = self._document(place)
            # A small sample has too few documents for all contexts to come from different ones.
            if document in used and len(used) < self.n_documents:
                continue
            used.add(document)
            yield self._context("random", unit, place, None)
            found += 1
            if found == RANDOM:
                return

    def _document(self, place: int) -> int:
        return int(self.document[self.sequence[self.rows[place]]])

    def _context(self, kind: ContextKind, unit: int, place: int, quantile: float | None) -> StoredContext:
        row = int(self.rows[place])
        number = int(self.sequence[row])
        position = row - int(self.starts[number])
        tokens = self.sample.tokens[number]
        start = max(0, position - self.settings.before)
        end = min(len(tokens), position + self.settings.after + 1)
        first = int(self.starts[number])
        return StoredContext(
            kind,
            float(self.read.values[row, unit]),
            self.sample.ids[number],
            position,
            int(tokens[position]),
            start,
            self.read.values[first + start : first + end, unit].numpy(),
            quantile,
        )
