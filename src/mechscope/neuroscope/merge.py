"""Merge the states of two sets of shards into the state of their union. The order of merging changes no bit."""

from __future__ import annotations

from mechscope.neuroscope.state import HarvestState


def merge(a: HarvestState, b: HarvestState) -> HarvestState:
    """The state of the shards of both.

    `merge(a, b)` and `merge(b, a)` have equal bytes, and so have `merge(merge(a, b), c)` and `merge(a, merge(b, c))`.

    Raises:
        ValueError: if a shard is in both, or if they were harvested with different settings or at different sites.
    """
    raise NotImplementedError("being written")
