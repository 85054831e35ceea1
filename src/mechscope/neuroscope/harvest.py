"""Harvest a corpus: hand its shards to an engine, and keep each one that is finished.

The driver alone reads the corpus and writes to the work folder. Each shard is committed once, under its id; merging is
independent of order, so neither the engine nor an interruption changes a byte of the result.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from mechscope.arguments import shown
from mechscope.dictionaries.sources.models import model_checksum
from mechscope.model.devices import pick_device
from mechscope.neuroscope.corpus import Corpus, open_corpus
from mechscope.neuroscope.corpus.opening import Report
from mechscope.neuroscope.corpus.size import about_how_many_characters
from mechscope.neuroscope.engines.engine import Engine, EngineCall
from mechscope.neuroscope.engines.local import Local
from mechscope.neuroscope.finished_harvest import Finished, FinishedHarvest, read_finished
from mechscope.neuroscope.harvest_progress import HarvestProgress
from mechscope.neuroscope.opening import OpenedModel, site_inputs
from mechscope.neuroscope.plan import HarvestPlan, check_same_plan, read_plan
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard, shards_of
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.work_folder import WorkFolder
from mechscope.storage.folder_lock import hold_folder

log = logging.getLogger(__name__)


def harvest(
    model: str,
    folder: str | Path,
    *,
    sites: Sequence[str] = ("mlp",),
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
        model: a name for `load_model`.
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
    """
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise ValueError(f"max_tokens must be a whole number of at least 1, not {shown(max_tokens)}.")
    folder = Path(folder)
    text = corpus if isinstance(corpus, Corpus) else open_corpus(corpus)
    text.check()
    with hold_folder(folder):
        place = device if isinstance(device, torch.device) else pick_device(device)
        opened = OpenedModel.open(model, sites, place)
        plan = _plan(folder, model, opened, text, settings or HarvestSettings(), place)
        work = WorkFolder(folder)
        characters = about_how_many_characters(text)
        with HarvestProgress(characters, max_tokens, progress) as shown_progress:
            say = report or (log.warning if shown_progress.bar.disable else shown_progress.say)
            call = EngineCall(plan, opened, say)
            # Only the engine knows whether this process needs the model any longer.
            del opened
            run = _Run(work, text, plan, max_tokens, shown_progress, say)
            finished = run.with_engine(engine or Local(), call)
        before = read_finished(folder)
        # A harvest never becomes smaller: what has been read is kept.
        if before is None or finished.shards > before.shards or finished.whole_corpus:
            finished.write(folder)
        else:
            finished = before
    return FinishedHarvest(folder, plan, finished)


def _plan(
    folder: Path,
    model: str,
    opened: OpenedModel,
    corpus: Corpus,
    settings: HarvestSettings,
    device: torch.device,
) -> HarvestPlan:
    """The plan in the folder, after a check that it is what is wanted now; or a new one, which is written there."""
    there = read_plan(folder)
    if settings.massive_limits is None:
        if there is not None and there.settings.leave_out_sinks == settings.leave_out_sinks:
            # Measured when the harvest began, on the same text if everything else is the same.
            settings = dataclasses.replace(settings, massive_limits=there.settings.massive_limits)
        else:
            first = next(shards_of(corpus.documents(lambda problem: None), settings.shard_characters))
            settings = calibrated(opened.model, settings, first)
    sources = tuple(site.source for site in opened.sites)
    here = HarvestPlan(
        model=model,
        weights=model_checksum(model),
        device=device.type,
        sites=sources,
        site_inputs=site_inputs(sources),
        corpus=corpus.names,
        field=corpus.field,
        corpus_description=corpus.description,
        settings=settings,
    )
    if there is None:
        here.write(folder)
    else:
        check_same_plan(folder, there, here)
    return here


class _Run:
    """One run of a harvest, from the first shard that is missing."""

    def __init__(
        self,
        work: WorkFolder,
        corpus: Corpus,
        plan: HarvestPlan,
        max_tokens: int | None,
        progress: HarvestProgress,
        say: Report,
    ) -> None:
        self.work, self.corpus, self.plan = work, corpus, plan
        self.max_tokens, self.progress, self.say = max_tokens, progress, say
        self.first_missing = 0
        """All shards before this one are finished, …"""
        self.tokens = 0
        """… and have so many tokens."""
        self.enough: int | None = None
        """The number of shards that have `max_tokens` tokens, as soon as it is known."""
        self.characters: dict[int, int] = {}
        """Shard that is being computed → its number of characters."""

    def with_engine(self, engine: Engine, call: EngineCall) -> Finished:
        """Harvest what is missing."""
        self._advance()
        answers = engine.run(call, self._missing())
        try:
            for done in answers:
                self.work.commit(done.index, done.shard, done.state)
                self.progress.add(done.state.tokens, self.characters.pop(done.index))
                self._advance()
                if self.enough is not None:
                    break
        finally:
            # Ends the workers, which may have begun with shards that are not needed.
            answers.close()
        shards = self.work.whole_nodes(self.first_missing)
        tokens = sum(self.work.shards[index][1] for index in range(shards))
        return Finished(shards=shards, tokens=tokens, whole_corpus=self.enough is None)

    def _missing(self) -> Iterator[Shard]:
        """The shards that are not finished, one after another; those that are finished are compared with the corpus.

        Raises:
            ValueError: if the corpus has changed.
        """
        number = 0
        for shard in shards_of(self.corpus.documents(self.say), self.plan.settings.shard_characters):
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
            raise ValueError(
                f"the corpus is shorter than when it was harvested: it had at least {self.first_missing:,} shards, and "
                f"now it has {number:,}. Restore its files, or begin again in another folder."
            )

    def _check(self, shard: Shard) -> None:
        if shard.id != self.work.shards[shard.index][0]:
            first, last = shard.documents[0][0], shard.documents[-1][0]
            raise ValueError(
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
