"""Check before training that all ranks were given the same settings and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from mechscope.dictionaries.distributed.ranks import Ranks
from mechscope.dictionaries.stream import Batch
from mechscope.runs.config_diff import config_diff

# Relative tolerance of one activation: the same model on another kind of machine differs by rounding.
TOLERANCE = 1e-2
ROWS = 8


def agree(ranks: Ranks, settings: Mapping[str, Any]) -> None:
    """Check that all ranks have the same settings.

    Args:
        settings: values that JSON can represent.

    Raises:
        ValueError: on all ranks, if one differs from the first; lists the differences.
    """
    if ranks.alone:
        return
    first, *others = (json.loads(text) for text in ranks.texts(json.dumps(settings)))
    for number, other in enumerate(others, 1):
        if other != first:
            differ = "; ".join(config_diff(other, first, f"on rank {number}", "on rank 0"))
            raise ValueError(
                f"rank {number} was given other arguments than rank 0: {differ}. Start all ranks with the same "
                "settings and data."
            )


def agree_on_activations(ranks: Ranks, sample: Batch, source: str) -> None:
    """Check that all ranks read the same activations, by comparing the first few.

    Raises:
        ValueError: on all ranks, if one differs from the first.
    """
    if ranks.alone:
        return
    seen = ranks.gather(sample.x[:ROWS].to(ranks.device, torch.float64))
    for number in range(1, ranks.size):
        if not torch.allclose(seen[number], seen[0], rtol=TOLERANCE, atol=TOLERANCE * float(seen[0].std())):
            raise ValueError(
                f"rank {number} reads other activations of {source} than rank 0. Every rank must see the same "
                "batches: give all of them the same data and seed (SplitStream divides the work among them)."
            )
