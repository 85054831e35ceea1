"""Harvest one shard: read its documents with a model, and keep what `HarvestState` keeps of each unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
"""Documents are read in groups that fill about so many batches, so that candidates for contexts need not wait for the
whole shard. Within a group, sequences of similar lengths are read together."""


@dataclass
class _Text:
    """The sequences of a shard's documents."""

    sequences: list[np.ndarray] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    """The number of each sequence's document in the shard."""

    def groups(self, batch_tokens: int) -> Iterator[list[int]]:
        """The numbers of the sequences of some documents, then of others, until all had their turn."""
        by_document: dict[int, list[int]] = {}
        for number, document in enumerate(self.documents):
            by_document.setdefault(document, []).append(number)
        group, tokens = list[int](), 0
        # Only the last sequence of a document may be shorter than others: similar ones together need little padding.
        for numbers in sorted(by_document.values(), key=lambda numbers: -len(self.sequences[numbers[-1]])):
            group += numbers
            tokens += sum(len(self.sequences[number]) for number in numbers)
            if tokens >= BATCHES_TOGETHER * batch_tokens:
                yield group
                group, tokens = [], 0
        if group:
            yield group


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
    text, first_id = _cut(cutter, shard), shard.index * SEQUENCES_PER_SHARD
    with steady_arithmetic(settings.threads):
        for group in text.groups(settings.batch_tokens):
            sizes = Counter(text.documents[number] for number in group)
            long = {document for document, size in sizes.items() if size > 1}
            for batch in in_batches([text.sequences[number] for number in group], settings.batch_tokens):
                numbers = [group[number] for number in batch.numbers]
                rows = rows_of_batch(
                    batch.tokens.numpy(),
                    batch.real.numpy(),
                    [first_id + number for number in numbers],
                    [text.documents[number] for number in numbers],
                    settings.same,
                    long,
                )
                real = int(batch.real.sum())
                reader.read(
                    batch,
                    lambda site, values, counts, real=real, rows=rows: harvests[site.name].add(
                        values, counts, real, rows
                    ),
                )
                tokens_read(real)
                if not long:
                    # All documents so far are complete, and the sooner contexts are ranked, the fewer candidates come.
                    _settle(harvests.values())
            _settle(harvests.values())
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


def _settle(harvests: Iterable[_SiteHarvest]) -> None:
    for harvest in harvests:
        harvest.settle()


def _cut(cutter: Cutter, shard: Shard) -> _Text:
    text = _Text()
    for number, (_, content) in enumerate(shard.documents):
        found = cutter.sequences(content)
        text.sequences += found
        text.documents += [number] * len(found)
        if len(text.sequences) > SEQUENCES_PER_SHARD:
            raise ValueError(
                f"shard {shard.index} has more than {SEQUENCES_PER_SHARD:,} sequences: make shards smaller."
            )
    return text
