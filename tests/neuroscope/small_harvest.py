"""A harvest that takes a moment: a bundled model, a few pages of text, small shards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import torch

from mechscope.neuroscope.corpus import open_corpus
from mechscope.neuroscope.engines.engine import Done, Engine, EngineCall
from mechscope.neuroscope.engines.worker import ShardWorker
from mechscope.neuroscope.finished_harvest import FinishedHarvest
from mechscope.neuroscope.harvest import harvest
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.merge import merge
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard, shards_of
from mechscope.neuroscope.sinks import calibrated

MODEL = "mini-gelu-1l"
SETTINGS = HarvestSettings(
    context=32, top=3, low=2, sample=4, before=4, after=2, batch_tokens=128, shard_characters=500
)
WORDS = (
    "def", "return", "import", "self", "value", "for", "if", "not", "class", "while", "list", "tree", "river", "stone",
    "cloud", "door",
)  # fmt: skip


def write_texts(folder: Path, files: int = 11) -> Path:
    """A folder of short files, which make as many shards; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        words = [WORDS[(7 * number + place * (number + 3)) % len(WORDS)] for place in range(150)]
        (folder / f"{number:02d}.txt").write_text(" ".join(words))
    return folder


def small_harvest(work: Path, texts: Path, **options: object) -> FinishedHarvest:
    """Harvest a folder of texts."""
    given: dict[str, object] = {
        "sites": ("mlp0", "attn0.entropy"),
        "settings": SETTINGS,
        "device": "cpu",
        **options,
    }
    return harvest(MODEL, work, corpus=str(texts), **given)  # type: ignore[arg-type]


class InOrder:
    """An engine that takes some shards at a time, and gives them back in another order.

    Args:
        order: turns a list of shards into the order in which they are finished.
        at_once: how many shards it takes at a time.
        each: is called before each shard is given back.
    """

    def __init__(
        self,
        order: Callable[[Sequence[Shard]], Sequence[Shard]] = lambda shards: shards,
        at_once: int = 100,
        each: Callable[[Shard], None] = lambda shard: None,
    ) -> None:
        self.order, self.at_once, self.each = order, at_once, each
        self.taken: list[int] = []

    def run(self, call: EngineCall, shards: Iterator[Shard]) -> Generator[Done]:
        worker = ShardWorker(call.plan, call.opened)
        while together := [shard for _, shard in zip(range(self.at_once), shards, strict=False)]:
            self.taken += [shard.index for shard in together]
            for shard in self.order(together):
                self.each(shard)
                yield Done(shard.index, shard.id, worker.harvest(shard))


ENGINE: type[Engine] = InOrder
"""So that a type checker compares the two."""


def whole_bytes(folder: Path) -> bytes:
    """The state of the harvest of all of `write_texts`, made without a driver: every shard alone, and one merge each.

    Args:
        folder: an empty folder to work in.
    """
    opened = OpenedModel.open(MODEL, ("mlp0", "attn0.entropy"), torch.device("cpu"))
    documents = open_corpus(str(write_texts(folder))).documents()
    shards = list(shards_of(documents, SETTINGS.shard_characters))
    settings = calibrated(opened.model, SETTINGS, shards[0])
    state = None
    for shard in shards:
        found = harvest_shard(opened.model, opened.sites, settings, shard)
        state = found if state is None else merge(state, found)
    assert state is not None
    return state.to_bytes()
