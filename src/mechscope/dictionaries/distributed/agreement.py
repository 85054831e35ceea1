"""Ranks that were given different things must hear of it before they train: each would learn something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from mechscope.dictionaries.distributed.ranks import Ranks
from mechscope.dictionaries.stream import Batch
from mechscope.runs.config_diff import config_diff

# Of one activation; the same model on another kind of machine differs by rounding.
TOLERANCE = 1e-2
ROWS = 8


def agree(ranks: Ranks, settings: Mapping[str, Any]) -> None:
    """Compare what the ranks were given; all of them see the same.

    Args:
        settings: anything that JSON can hold.

    Raises:
        ValueError: on all ranks, where one differs from the first, with what differs.
    """
    if ranks.alone:
        return
    first, *others = (json.loads(text) for text in ranks.texts(json.dumps(settings)))
    for number, other in enumerate(others, 1):
        if other != first:
            differ = "; ".join(config_diff(other, first, f"on rank {number}", "on rank 0"))
            raise ValueError(
                f"rank {number} was given something else than rank 0: {differ}. Start all ranks with the same "
                "settings and data."
            )


def agree_on_activations(ranks: Ranks, sample: Batch, source: str) -> None:
    """Compare the first activations that ranks read.

    Raises:
        ValueError: on all ranks, where one reads others than the first.
    """
    if ranks.alone:
        return
    seen = ranks.gather(sample.x[:ROWS].to(ranks.device, torch.float64))
    for number in range(1, ranks.size):
        if not torch.allclose(seen[number], seen[0], rtol=TOLERANCE, atol=TOLERANCE * float(seen[0].std())):
            raise ValueError(
                f"rank {number} reads other activations of {source} than rank 0. Every rank must see the same "
                "batches: give all the same data and seed (SplitStream divides the work of making them)."
            )
