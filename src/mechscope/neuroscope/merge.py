"""Merge the states of two sets of shards into the state of their union. The order of merging changes no bit.

Counts are whole numbers, and extremes are the best of both lists with ties decided by the places of the texts, so only
sums of activations could depend on the order. They are therefore kept for each node of a binary tree over the shards'
indices, and two halves of a node are added as soon as both are there, never anything else.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mechscope.neuroscope._ranking import best_of
from mechscope.neuroscope._texts import drawn, referred, select_sequences
from mechscope.neuroscope.state import Extremes, HarvestState, Sequences, SiteState

Node = tuple[int, int]


def merge(a: HarvestState, b: HarvestState) -> HarvestState:
    """The state of the shards of both.

    `merge(a, b)` and `merge(b, a)` have equal bytes, and so have `merge(merge(a, b), c)` and `merge(a, merge(b, c))`.

    Raises:
        ValueError: if a shard is in both, or if they were harvested with different settings or at different sites.
    """
    _check(a, b)
    nodes, sums = _add_halves(_nodes(a) + _nodes(b), [_sums(a), _sums(b)])
    sites = {name: _merged(a, b, name, sums[name]) for name in a.sites}
    sample = drawn(np.concatenate([a.sample.numpy(), b.sample.numpy()]), a.settings)
    return HarvestState(
        settings=a.settings,
        shards=_joined_ranges(torch.cat([a.shards, b.shards])),
        documents=a.documents + b.documents,
        sequences_read=a.sequences_read + b.sequences_read,
        tokens=a.tokens + b.tokens,
        nodes=torch.tensor(nodes),
        sequences=_joined_sequences(a.sequences, b.sequences, referred(sites.values(), sample)),
        sample=torch.from_numpy(sample),
        sites=sites,
    )


def _merged(a: HarvestState, b: HarvestState, name: str, sums: Tensor) -> SiteState:
    one, other = a.sites[name], b.sites[name]
    return SiteState(
        tokens=one.tokens + other.tokens,
        left_out=one.left_out + other.left_out,
        firing=one.firing + other.firing,
        sums=sums,
        minimum=torch.minimum(one.minimum, other.minimum),
        maximum=torch.maximum(one.maximum, other.maximum),
        histogram=one.histogram + other.histogram,
        top=best_of([one.top, other.top], a.settings.top, 1),
        low=_lowest(one.low, other.low, a.settings.low),
    )


def _lowest(one: Extremes | None, other: Extremes | None, ranks: int) -> Extremes | None:
    return None if one is None or other is None else best_of([one, other], ranks, -1)


def _nodes(state: HarvestState) -> list[Node]:
    return [(level, index) for level, index in state.nodes.tolist()]


def _sums(state: HarvestState) -> dict[str, Tensor]:
    return {name: site.sums for name, site in state.sites.items()}


def _add_halves(nodes: list[Node], sums: list[dict[str, Tensor]]) -> tuple[list[Node], dict[str, Tensor]]:
    """Add the two halves of a node wherever both are there, and put the nodes in the order of their shards."""
    # Both lists of nodes are in the order of the rows of their sums.
    rows = {name: torch.cat([part[name] for part in sums]).unbind() for name in sums[0]}
    by_node = {node: {name: rows[name][place] for name in rows} for place, node in enumerate(nodes)}
    waiting = sorted(by_node)
    while waiting:
        level, index = waiting.pop(0)
        even, odd = (level, index & ~1), (level, index | 1)
        if even in by_node and odd in by_node:
            left, right = by_node.pop(even), by_node.pop(odd)
            parent = (level + 1, index >> 1)
            by_node[parent] = {name: left[name] + right[name] for name in left}
            waiting.append(parent)
    order = sorted(by_node, key=lambda node: node[1] << node[0])
    return order, {name: torch.stack([by_node[node][name] for node in order]) for name in sums[0]}


def _joined_ranges(ranges: Tensor) -> Tensor:
    """Ranges in ascending order, with those joined that touch each other."""
    joined = list[list[int]]()
    for first, end in sorted(ranges.tolist()):
        if joined and joined[-1][1] == first:
            joined[-1][1] = end
        else:
            joined.append([first, end])
    return torch.tensor(joined)


def _joined_sequences(a: Sequences, b: Sequences, kept: np.ndarray) -> Sequences:
    ids = np.concatenate([a.ids.numpy(), b.ids.numpy()])
    tokens = [
        part.tokens[start:end].numpy()
        for part in (a, b)
        for start, end in zip(part.starts[:-1].tolist(), part.starts[1:].tolist(), strict=True)
    ]
    documents = [*a.documents, *b.documents]
    order = np.argsort(ids, kind="stable")
    return select_sequences(
        ids[order], [tokens[place] for place in order], [documents[place] for place in order], kept
    )


def _check(a: HarvestState, b: HarvestState) -> None:
    if a.settings != b.settings:
        others = b.settings.to_dict()
        different = [
            f"{name} ({value!r} and {others[name]!r})"
            for name, value in a.settings.to_dict().items()
            if value != others[name]
        ]
        raise ValueError(f"states of different settings cannot be merged: {', '.join(different)}.")
    shapes = [
        {name: (site.units, site.low is not None) for name, site in part.sites.items()} for part in (a, b)
    ]
    if list(shapes[0].items()) != list(shapes[1].items()):
        raise ValueError(
            "states of different sites cannot be merged: one has "
            f"{', '.join(a.sites)}, the other {', '.join(b.sites)} (or the numbers of units differ)."
        )
    if both := _in_both(a.shards, b.shards):
        raise ValueError(
            f"shard {both[0]} is in both states{f', and {len(both) - 1} more' if both[1:] else ''}: its tokens would "
            "count twice. Merge each shard once."
        )


def _in_both(a: Tensor, b: Tensor) -> list[int]:
    found = list[int]()
    for first, end in a.tolist():
        for other_first, other_end in b.tolist():
            found += range(max(first, other_first), min(end, other_end))
    return found
