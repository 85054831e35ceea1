"""Which sequences are kept: those that contexts refer to, and a random sample of all that were read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.neuroscope.state import NO_SEQUENCE, Sequences, SiteState

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings

_STEP = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio, the step of splitmix64."""


def drawn(ids: np.ndarray, settings: HarvestSettings) -> np.ndarray:
    """The sequences with the smallest hashes, in the order of their hashes: a random sample that can be merged."""
    # The constant is there because 0 stays 0 when it is mixed: the first sequence would be drawn by the seed 0 always.
    start = _mixed(np.array([settings.seed], dtype=np.uint64) + _STEP)
    hashes = _mixed(ids.astype(np.uint64) + start)
    return ids[np.lexsort((ids, hashes))[: settings.sample]].astype(np.int64)


def referred(sites: Iterable[SiteState], sample: np.ndarray) -> np.ndarray:
    """The ids of all sequences that contexts or the sample refer to, ascending."""
    extremes = [found for site in sites for found in (site.top, site.low) if found is not None]
    ids = np.unique(np.concatenate([sample, *(np.unique(found.sequence.numpy()) for found in extremes)]))
    return ids[ids != NO_SEQUENCE]


def select_sequences(
    ids: np.ndarray, tokens: Sequence[np.ndarray], documents: list[str], kept: np.ndarray
) -> Sequences:
    """Those of some sequences that are kept.

    Args:
        ids: the ids of the sequences, ascending.
        tokens: the tokens of each.
        documents: the name of each one's document.
        kept: the ids to keep, ascending; all of them are among `ids`.
    """
    places = np.searchsorted(ids, kept)
    chosen = [tokens[place] for place in places]
    starts = np.cumsum([0, *map(len, chosen)])
    joined = np.concatenate([np.empty(0, dtype=np.int32), *chosen]).astype(np.int32)
    return Sequences(
        ids=torch.from_numpy(kept.astype(np.int64)),
        starts=torch.from_numpy(starts.astype(np.int64)),
        tokens=torch.from_numpy(joined),
        documents=tuple(documents[place] for place in places),
    )


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits, mixed so that they look random (the last step of splitmix64, Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
