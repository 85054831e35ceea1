"""Run a sweep: dictionaries with the same schedule are trained together, and every finished point is saved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from mechscope.arguments import not_of_kind, shown
from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import config_from_dict
from mechscope.dictionaries.evaluation.refitting import refit_gain
from mechscope.dictionaries.files import load, save
from mechscope.dictionaries.frontier.points import (
    Point,
    Sweep,
    make_point,
    point_name,
    read_point,
    write_point,
)
from mechscope.dictionaries.frontier.settings import SweepConfig
from mechscope.dictionaries.sources.opening import ModelSource, Source, open_source, with_seed
from mechscope.dictionaries.stream import Stream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.reading import read_json
from mechscope.runs.source_digest import source_digests
from mechscope.storage.files import keeping, write_atomically
from mechscope.storage.folder_lock import hold_folder

TOGETHER = 8
"""The largest number of dictionaries that are trained together; it limits memory, and what a crash can cost."""
REFITTED = 256
"""Number of held-out activations on which coefficients are refitted."""


@dataclass(frozen=True)
class Wanted:
    """One point that a sweep needs."""

    architecture: str
    """Its architecture."""
    sparsity: float
    """Its k, l1 or l0."""
    lr: float
    """Its learning rate."""
    seed: int
    """Seed of its weights and batches."""

    @property
    def name(self) -> str:
        """The name of its files, which is the point's."""
        return point_name(self.architecture, self.sparsity, self.lr, self.seed)


class Sweeper:
    """Runs a sweep in a folder.

    Args:
        config: the sweep's settings.
        folder: the folder of points, dictionaries and unfinished training runs.
        device: the device to compute on.
        progress: whether to show a progress bar for each training run; None shows one on a terminal.

    Raises:
        KeyError, ValueError, FileNotFoundError: as `open_source`; also ValueError for invalid dictionaries, and for
            stored points from other weights or other text; all before any work.
    """

    def __init__(
        self, config: SweepConfig, folder: Path, device: torch.device, progress: bool | None = None
    ) -> None:
        self.config, self.folder, self.device, self.progress = config, folder, device, progress
        self._sources: dict[int, Source] = {}
        self._code = source_digests(__name__)
        self._stale: set[Path] = set()
        self._seconds = folder / "seconds.json"
        first = self._source(config.seeds[0])
        self.words = first.description
        # Raises errors for text that is too short, and for activations that are not finite.
        first.stream(config.seeds[0])
        first.held_out(1)
        # The same for all seeds: a seed only changes known features, which are not made from files.
        self._made_from = first.made_from()
        for contender in config.contenders:
            for sparsity, rate, seed in product(contender.sparsities, config.learning_rates, config.seeds):
                self._kept(Wanted(contender.architecture, sparsity, rate, seed))

    def run(self) -> Sweep:
        """Train and evaluate the missing points, holding the folder's lock.

        Raises:
            FolderInUseError: if another process uses the folder, before any training.
            FloatingPointError: if a loss is no longer finite.
            NotKeptError: if something cannot be written; finished points are saved.
        """
        with hold_folder(self.folder):
            return self._run()

    def _run(self) -> Sweep:
        rates = self.config.learning_rates
        chosen: dict[str, float] = {contender.architecture: rates[0] for contender in self.config.contenders}
        tried: list[Point] = []
        if len(rates) > 1:
            tried = self._points(
                [
                    Wanted(contender.architecture, contender.middle, rate, self.config.seeds[0])
                    for rate in rates
                    for contender in self.config.contenders
                ]
            )
            for architecture in chosen:
                mine = [point for point in tried if point.architecture == architecture]
                chosen[architecture] = min(mine, key=lambda point: point.objective).lr
        points = self._points(
            [
                Wanted(contender.architecture, sparsity, chosen[contender.architecture], seed)
                for seed in self.config.seeds
                for contender in self.config.contenders
                for sparsity in contender.sparsities
            ]
        )
        points = [self._refitted(point) for point in points]
        shutil.rmtree(self.folder / "activations", ignore_errors=True)
        return Sweep(self.config, self.words, tuple(points), tuple(tried), self._spent() / 60)

    def _points(self, wanted: Sequence[Wanted]) -> list[Point]:
        """The wanted points, in the same order."""
        found: dict[str, Point] = {}
        missing: dict[tuple[int, float], list[Wanted]] = {}
        for each in wanted:
            point = self._kept(each)
            if point is None:
                missing.setdefault((each.seed, each.lr), []).append(each)
            else:
                found[each.name] = point
        for group in missing.values():
            for start in range(0, len(group), TOGETHER):
                for point in self._train(group[start : start + TOGETHER]):
                    found[point.name] = point
        return [found[each.name] for each in wanted]

    def _train(self, group: Sequence[Wanted]) -> list[Point]:
        """Train dictionaries of one seed and learning rate on the same batches, and evaluate them."""
        seed, source = group[0].seed, self._source(group[0].seed)
        training = self._training(group[0])
        dictionaries = {
            each.name: build(
                config_from_dict({**self._dictionary(each), "d_in": source.d_in}), training.seed
            ).to(self.device)
            for each in group
        }
        what = json.dumps([[self._fingerprint(each) for each in group], self._made_from, self._code])
        unfinished = self.folder / "unfinished" / hashlib.sha256(what.encode()).hexdigest()[:16]
        run = train(
            dictionaries, self._stream(source, seed), training, folder=unfinished, progress=self.progress
        )
        losses = run.history.values.sel(measure="loss")
        last = max(1, losses.sizes["step"] // 10)
        points: list[Point] = []
        for each in group:
            dictionary = run.dictionaries[each.name]
            dictionary.metadata.update(source.metadata())
            with keeping(self.folder / "dictionaries" / each.name):
                save(dictionary, self.folder / "dictionaries" / each.name)
            objective = float(losses.sel(series=each.name).isel(step=slice(-last, None)).mean())
            found = source.evaluate(dictionary)
            point = make_point(each.architecture, each.sparsity, each.lr, each.seed, objective, found)
            self._keep(each, point)
            points.append(point)
        self._add_seconds(run.seconds)
        shutil.rmtree(unfinished, ignore_errors=True)
        return points

    def _refitted(self, point: Point) -> Point:
        """The point with its refit gain, which takes longer than the other metrics."""
        if point.refit_gain is not None:
            return point
        wanted = Wanted(point.architecture, point.sparsity, point.lr, point.seed)
        dictionary = load(self.folder / "dictionaries" / point.name).to(self.device)
        gain = refit_gain(dictionary, self._source(point.seed).held_out(REFITTED).x)
        point = dataclasses.replace(point, refit_gain=gain)
        self._keep(wanted, point)
        return point

    def _source(self, seed: int) -> Source:
        config = with_seed(self.config.source, seed)
        if config.seed not in self._sources:
            self._sources[config.seed] = open_source(config, self.device)
        return self._sources[config.seed]

    def _stream(self, source: Source, seed: int) -> Stream:
        if not isinstance(source, ModelSource):
            return source.stream(seed)
        # The model runs once for all training runs.
        what = json.dumps([source.config.to_dict(), self.config.training.steps, self._made_from, self._code])
        folder = self.folder / "activations" / hashlib.sha256(what.encode()).hexdigest()[:16]
        return source.stored_stream(seed, folder, self.config.training.steps)

    def _training(self, wanted: Wanted) -> TrainingConfig:
        return dataclasses.replace(self.config.training, lr=wanted.lr, seed=wanted.seed)

    def _dictionary(self, wanted: Wanted) -> Mapping[str, Any]:
        contender = next(each for each in self.config.contenders if each.architecture == wanted.architecture)
        return contender.dictionary(self.config.d_sae, wanted.sparsity)

    def _fingerprint(self, wanted: Wanted) -> str:
        """Checksum of all settings that determine the point."""
        settings = {
            "source": with_seed(self.config.source, wanted.seed).to_dict(),
            "dictionary": self._dictionary(wanted),
            "training": self._training(wanted).to_dict(),
            "device": self.device.type,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def _kept(self, wanted: Wanted) -> Point | None:
        path = self._path(wanted)
        if path in self._stale or not path.is_file():
            return None
        point = read_point(path, self._fingerprint(wanted), self._made_from, self._code)
        if point is None:
            self._stale.add(path)  # reported once
        return point

    def _keep(self, wanted: Wanted, point: Point) -> None:
        with keeping(self._path(wanted)):
            write_point(self._path(wanted), point, self._fingerprint(wanted), self._made_from, self._code)
        self._stale.discard(self._path(wanted))

    def _path(self, wanted: Wanted) -> Path:
        return self.folder / "points" / f"{wanted.name}.json"

    def _spent(self) -> float:
        if not self._seconds.is_file():
            return 0.0
        found = read_json(self._seconds, fix="Remove it; only the record of time spent so far is lost.")
        if (words := not_of_kind(found, float)) is not None:
            raise ValueError(f"{self._seconds} should hold {words}, not {shown(found)}. Remove it.")
        return float(found)

    def _add_seconds(self, seconds: float) -> None:
        with keeping(self._seconds):
            write_atomically(self._seconds, json.dumps(self._spent() + seconds) + "\n")
