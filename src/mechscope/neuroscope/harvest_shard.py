"""Harvest one shard: read its documents with a model, and keep what `HarvestState` keeps of each unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mechscope.neuroscope._context_finder import ContextFinder, Rows, rows_of_batch
from mechscope.neuroscope._tally import Tally, Workspace
from mechscope.neuroscope._texts import drawn, referred, select_sequences
from mechscope.neuroscope.sequences import Cutter, in_batches
from mechscope.neuroscope.site_reader import SiteReader, steady_arithmetic
from mechscope.neuroscope.state import SEQUENCES_PER_SHARD, HarvestState, SiteState

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.shards import Shard
    from mechscope.neuroscope.sites import AnyModel, Site

BATCHES_TOGETHER = 4
"""Documents are read in groups that fill about so many batches. Within a group, sequences of similar lengths are read
together."""


@dataclass
class _Text:
    """The sequences of a shard's documents."""

    sequences: list[np.ndarray] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    """The number of each sequence's document in the shard."""


class _SiteHarvest:
    """What is known about one site so far."""

    def __init__(
        self, site: Site, settings: HarvestSettings, device: torch.device, workspace: Workspace
    ) -> None:
        self.signed = site.signed
        self.tally = Tally(site.units, device, workspace, lowest=site.signed)
        self.top = ContextFinder(site.units, settings, settings.top, 1, one_sided=not site.signed)
        self.low = (
            ContextFinder(site.units, settings, settings.low, -1, one_sided=False) if site.signed else None
        )

    def add(self, values: Tensor, counts: Tensor, real: int, rows: Rows) -> None:
        peaks, troughs = self.tally.add(values, counts, real)
        self.top.offer(values, counts, peaks, rows)
        if self.low is not None and troughs is not None:
            self.low.offer(values, counts, -troughs, rows)

    def settle(self, *, last: bool = False) -> None:
        self.top.settle(last=last)
        if self.low is not None:
            self.low.settle(last=last)

    def state(self) -> SiteState:
        self.settle(last=True)
        tally = self.tally
        return SiteState(
            tokens=tally.tokens,
            left_out=tally.left_out,
            firing=tally.firing.cpu(),
            sums=tally.sums[None].cpu(),
            # Copies, because these were made in inference mode, whose tensors nobody may edit.
            minimum=tally.minimum.cpu().clone(),
            maximum=tally.maximum.cpu().clone(),
            histogram=tally.histogram().cpu(),
            top=self.top.best,
            low=None if self.low is None else self.low.best,
        )


def harvest_shard(
    model: AnyModel,
    sites: Sequence[Site],
    settings: HarvestSettings,
    shard: Shard,
    tokens_read: Callable[[int], object] = lambda tokens: None,
) -> HarvestState:
    """The state of one shard.

    The same model, sites, settings and shard give the same bytes on the same kind of processor: batches are formed
    within the shard, and `settings.threads` threads compute.

    Args:
        sites: from `find_sites`.
        settings: with `massive_limits`, unless sinks are not left out; see `sinks.calibrated`.
        tokens_read: is told, after every batch, how many tokens it had.

    Raises:
        ValueError: for a model without a tokenizer, settings without limits, or more sequences than a shard can have.
    """
    reader, cutter = SiteReader(model, sites, settings), Cutter(model, settings)
    device, workspace = torch.device(model.cfg.device or "cpu"), Workspace()
    harvests = {site.name: _SiteHarvest(site, settings, device, workspace) for site in sites}
    text, first_id = _Text(), shard.index * SEQUENCES_PER_SHARD
    with steady_arithmetic(settings.threads):
        for start in _groups(cutter, shard, settings, text):
            for batch in in_batches(text.sequences[start:], settings.batch_size):
                numbers = [start + number for number in batch.numbers]
                rows = rows_of_batch(
                    batch.tokens.numpy(),
                    batch.real.numpy(),
                    [first_id + number for number in numbers],
                    [text.documents[number] for number in numbers],
                    settings.same,
                )
                real = int(batch.real.sum())
                reader.read(
                    batch,
                    lambda site, values, counts, real=real, rows=rows: harvests[site.name].add(
                        values, counts, real, rows
                    ),
                )
                tokens_read(real)
            for harvest in harvests.values():
                harvest.settle()
    found = {name: harvest.state() for name, harvest in harvests.items()}
    ids = first_id + np.arange(len(text.sequences))
    sample = drawn(ids, settings)
    names = [shard.documents[document][0] for document in text.documents]
    return HarvestState(
        settings=settings,
        shards=torch.tensor([[shard.index, shard.index + 1]]),
        documents=len(shard.documents),
        sequences_read=len(text.sequences),
        tokens=sum(map(len, text.sequences)),
        nodes=torch.tensor([[0, shard.index]]),
        sequences=select_sequences(ids, text.sequences, names, referred(found.values(), sample)),
        sample=torch.from_numpy(sample),
        sites=found,
    )


def _groups(cutter: Cutter, shard: Shard, settings: HarvestSettings, text: _Text) -> Iterator[int]:
    """Cut documents and add them to `text`; after each group, the number of its first sequence."""
    start = 0
    for number, (_, content) in enumerate(shard.documents):
        found = cutter.sequences(content)
        text.sequences += found
        text.documents += [number] * len(found)
        if len(text.sequences) > SEQUENCES_PER_SHARD:
            raise ValueError(
                f"shard {shard.index} has more than {SEQUENCES_PER_SHARD:,} sequences: make shards smaller."
            )
        if len(text.sequences) - start >= BATCHES_TOGETHER * settings.batch_size:
            yield start
            start = len(text.sequences)
    if len(text.sequences) > start:
        yield start
