"""Harvest a corpus: hand its shards to an engine, and keep each one that is finished.

The driver alone reads the corpus and writes to the work folder. Each shard is committed once, under its id; merging is
independent of order, so neither the engine nor an interruption changes a byte of the result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import torch

from mechscope.arguments import shown
from mechscope.neuroscope.corpus import Corpus
from mechscope.neuroscope.corpus.opening import Report
from mechscope.neuroscope.engines.engine import Engine, EngineCall
from mechscope.neuroscope.engines.local import Local
from mechscope.neuroscope.expected_size import ExpectedSize, expected_size
from mechscope.neuroscope.finished_harvest import Finished, FinishedHarvest, read_finished
from mechscope.neuroscope.harvest_progress import HarvestProgress, Steps
from mechscope.neuroscope.prepared_harvest import PreparedHarvest, prepare_harvest
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard, shards_of
from mechscope.neuroscope.work_folder import hold_work_folder

log = logging.getLogger(__name__)


class CorpusChangedError(ValueError):
    """The text is not what it was when the harvest began."""


def harvest(
    model: str | Path,
    folder: str | Path,
    *,
    sites: str | Sequence[str] = ("mlp",),
    corpus: str | Sequence[str] | Corpus = "library",
    settings: HarvestSettings | None = None,
    max_tokens: int | None = None,
    engine: Engine | None = None,
    device: str | torch.device = "auto",
    progress: bool | None = False,
    report: Report | None = None,
) -> FinishedHarvest:
    """Harvest a corpus, or go on with a harvest that was stopped.

    Args:
        model: a name for `load_model`, or a folder.
        folder: the work folder. Shards that are finished there are not read again.
        sites: names of sites, see `find_sites`.
        corpus: names of texts, files, folders and data sets, see `open_corpus`.
        settings: what is read and kept; the default settings if not given.
        max_tokens: stop after the shard with this token; None reads everything. A harvest that has read more before
            keeps it.
        engine: who computes; this process if not given. `Processes` needs a script with `if __name__ == "__main__":`.
        device: a name for `pick_device`, or a device.
        progress: whether to show a bar: True, False, or None for "on a terminal".
        report: is told, in a sentence, of each file that is skipped and each worker that is lost; the log if not given.

    Raises:
        FolderInUseError: if another process harvests into this folder.
        FileNotFoundError, KeyError: for an unknown model, site, dictionary or corpus; suggests the closest names.
        ValueError: for an empty corpus, for a model that cannot read text, and if the folder has a harvest of
            another model, other sites, settings or text.
        NotKeptError: if the disk is full; finished shards are still there.
        WorkerError: if workers fail.
        TypeError: for a model, settings or an engine of another kind.
    """
    check_engine(engine)
    with hold_work_folder(Path(folder)):
        prepared = prepare_harvest(
            model,
            folder,
            sites=sites,
            corpus=corpus,
            settings=settings,
            max_tokens=max_tokens,
            device=device,
        )
        return finish_harvest(prepared, engine, progress=progress, report=report)


def finish_harvest(
    prepared: PreparedHarvest,
    engine: Engine | None = None,
    *,
    progress: bool | None = False,
    report: Report | None = None,
    expected: ExpectedSize | None = None,
    steps: Steps = lambda done, total: None,
) -> FinishedHarvest:
    """Harvest what is missing. The caller holds the folder's lock. Other arguments: see `harvest`.

    Args:
        expected: from `expected_size`, if it is known already.
        steps: is told how far the harvest has come, if no bar is drawn.

    Raises:
        CorpusChangedError: if the text of a finished shard has changed.
        NotKeptError, WorkerError: see `harvest`.
    """
    size = expected or expected_size(prepared)
    with HarvestProgress(size.characters, prepared.max_tokens, progress, size.tokens, steps) as bar:
        say = report or (log.warning if bar.hidden else bar.say)
        call = EngineCall(prepared.plan, prepared.opened, say, bar.read_ahead)
        # Only the engine knows whether this process needs the model any longer.
        prepared.opened = None
        finished = _Run(prepared, bar, call).with_engine(engine or Local())
        prepared.opened = call.opened
    before = read_finished(prepared.folder)
    if before is not None and before.shards > finished.shards and not finished.whole_corpus:
        # A harvest never becomes smaller: what has been read is kept.
        finished = before
    finished.write(prepared.folder)
    return FinishedHarvest(prepared.folder, prepared.plan, finished)


def check_engine(engine: object) -> None:
    """Check that a harvest can run on an engine; None stands for this process.

    Raises:
        TypeError: for the name of an engine, and other objects that are none.
    """
    if engine is not None and not callable(getattr(engine, "run", None)):
        raise TypeError(
            f"an engine is Processes(4), Ray() or another object with a method `run`, not {shown(engine)}."
        )


class _Run:
    """One run of a harvest, from the first shard that is missing."""

    def __init__(self, prepared: PreparedHarvest, progress: HarvestProgress, call: EngineCall) -> None:
        self.work, self.corpus, self.max_tokens = prepared.work, prepared.corpus, prepared.max_tokens
        self.shard_characters = prepared.plan.settings.shard_characters
        self.progress, self.call = progress, call
        self.first_missing = 0
        """All shards before this one are finished, …"""
        self.tokens = 0
        """… and have so many tokens."""
        self.enough: int | None = None
        """The number of shards that have `max_tokens` tokens, as soon as it is known."""
        self.characters: dict[int, int] = {}
        """Shard that is being computed → its number of characters."""

    def with_engine(self, engine: Engine) -> Finished:
        """Harvest what is missing."""
        self._advance()
        missing = self._missing()
        # Without a shard to harvest, no worker and no cluster is started.
        if (first := next(missing, None)) is not None:
            # Closing it ends the workers, which may have begun with shards that are not needed.
            with closing(engine.run(self.call, chain([first], missing))) as answers:
                for done in answers:
                    self.work.commit(done.index, done.shard, done.state)
                    self.progress.add(done.state.tokens, self.characters.pop(done.index))
                    self._advance()
                    if self.enough is not None:
                        break
        shards = self.work.whole_nodes(self.first_missing)
        tokens = sum(self.work.shards[index][1] for index in range(shards))
        return Finished(shards=shards, tokens=tokens, whole_corpus=self.enough is None)

    def _missing(self) -> Iterator[Shard]:
        """The shards that are not finished, one after another; those that are finished are compared with the corpus.

        Raises:
            CorpusChangedError: if the text of a finished shard has changed.
        """
        number = 0
        for shard in shards_of(self.corpus.documents(self.call.say), self.shard_characters):
            if self.enough is not None and shard.index >= self.enough:
                return
            number = shard.index + 1
            if shard.index in self.work.shards:
                self._check(shard)
                self.progress.add(self.work.shards[shard.index][1], shard.characters, before=True)
            else:
                self.characters[shard.index] = shard.characters
                yield shard
        if self.first_missing > number:
            raise CorpusChangedError(
                f"the corpus is shorter than when it was harvested: it had at least {self.first_missing:,} shards, and "
                f"now it has {number:,}. Restore its files, or begin again in another folder."
            )

    def _check(self, shard: Shard) -> None:
        if shard.id != self.work.shards[shard.index][0]:
            first, last = shard.documents[0][0], shard.documents[-1][0]
            raise CorpusChangedError(
                f"the corpus has changed since it was harvested: shard {shard.index:,} (documents {first} to {last}) "
                "had another text. Restore its files, or begin again in another folder."
            )

    def _advance(self) -> None:
        """Count the shards that are finished without a gap, and merge them."""
        while self.enough is None and self.first_missing in self.work.shards:
            self.tokens += self.work.shards[self.first_missing][1]
            self.first_missing += 1
            if self.max_tokens is not None and self.tokens >= self.max_tokens:
                self.enough = self.first_missing
        self.work.compact(self.first_missing)
