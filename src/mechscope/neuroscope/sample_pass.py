"""Read a model on the random sample of sequences: the activations of one site after another, within a memory budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.main_memory import main_memory
from mechscope.neuroscope.sequences import in_batches
from mechscope.neuroscope.site_reader import SiteReader, steady_arithmetic
from mechscope.neuroscope.sites import Site

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.sites import AnyModel

MOST_BYTES = 2**32
"""The activations of the sample that are in memory at once take at most so many bytes."""


@dataclass(frozen=True)
class Sample:
    """The sequences of the sample, one after another in one long row of tokens."""

    ids: tuple[int, ...]
    """The ids of the sequences, ascending."""
    documents: tuple[str, ...]
    """The document of each sequence."""
    tokens: tuple[Int[np.ndarray, " pos"], ...]
    """The tokens of each sequence."""

    __repr__ = brief_repr

    @property
    def starts(self) -> Int[np.ndarray, " end"]:
        """Where each sequence starts in the row, and at last where the row ends."""
        return np.cumsum([0, *(len(tokens) for tokens in self.tokens)])


@dataclass(frozen=True)
class SiteActivations:
    """The activations of a site on the sample."""

    site: Site
    values: Float[Tensor, "token unit"]
    counts: Bool[Tensor, " token"]
    """False for attention sinks."""

    __repr__ = brief_repr


def read_sample(
    model: AnyModel,
    sites: Sequence[Site],
    settings: HarvestSettings,
    sample: Sample,
    most_bytes: int | None = None,
) -> Iterator[SiteActivations]:
    """The activations of every site, in the order of `sites`.

    The model reads the sample once for as many sites as fit into memory, up to the last block that they need.

    Args:
        most_bytes: memory for activations; None means `MOST_BYTES`, or a third of what is free if that is less.
    """
    tokens = int(sample.starts[-1])
    if most_bytes is None:
        most_bytes = min(MOST_BYTES, main_memory().available // 3)
    for group in _groups(sites, tokens, most_bytes):
        values = {site.name: torch.zeros(tokens, site.units) for site in group}
        counts = {site.name: torch.zeros(tokens, dtype=torch.bool) for site in group}
        if tokens:
            _fill(SiteReader(model, group, settings), settings, sample, values, counts)
        for site in group:
            # Handed on and forgotten, so that the next group finds the memory free.
            yield SiteActivations(site, values.pop(site.name), counts.pop(site.name))


def _groups(sites: Sequence[Site], tokens: int, most_bytes: int) -> Iterator[list[Site]]:
    group, size = list[Site](), 0
    for site in sites:
        own = 4 * tokens * site.units
        if group and size + own > most_bytes:
            yield group
            group, size = [], 0
        group.append(site)
        size += own
    if group:
        yield group


def _fill(
    reader: SiteReader,
    settings: HarvestSettings,
    sample: Sample,
    values: dict[str, Tensor],
    counts: dict[str, Tensor],
) -> None:
    starts = sample.starts
    with steady_arithmetic(settings.threads):
        for batch in in_batches(sample.tokens, settings.batch_tokens):
            lengths = [len(sample.tokens[number]) for number in batch.numbers]
            rows = torch.cat(
                [
                    torch.arange(int(starts[number]), int(starts[number]) + length)
                    for number, length in zip(batch.numbers, lengths, strict=True)
                ]
            )

            def receive(
                site: Site,
                read: Tensor,
                counting: Tensor,
                rows: Tensor = rows,
                real: Tensor = batch.real,
            ) -> None:
                values[site.name][rows] = read[real].cpu().float()
                counts[site.name][rows] = counting[real].cpu()

            reader.read(batch, receive)
