"""Measure what a harvest costs, and plan one of a billion tokens from it; write docs/neuroscope-harvest.md.

    python -m benchmarks.neuroscope_plan [--only mini-gelu-4l] [--keep FILE]

Models that are not measured now are taken from FILE, where an earlier run kept them. All times are CPU seconds on one
thread, so that other work on the machine does not count. Takes about three minutes on a quiet core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from mechscope.neuroscope.corpus import open_corpus
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.merge import merge
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import shards_of
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.state import HarvestState, Sequences
from mechscope.neuroscope.work_folder import WorkFolder
from mechscope.pages.formatting import duration
from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.runs.machine import processor_name

ROOT = Path(__file__).resolve().parent.parent
CHARACTERS = {"mini-gelu-4l": 200_000, "smollm2-135m": 16_000}
"""Model → characters per shard. They are fewer than by default, so that this does not take an hour."""
SHARDS = 4
TOKENS = 10**9
WORKERS = 64
ROOM = 2.0
"""The driver shall be busy for at most one in so many seconds."""
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What was measured with one model."""

    model: str
    units: int
    tokens: int
    seconds: float
    """CPU seconds of harvesting all shards."""
    characters_per_token: float
    fixed_bytes: int
    """The bytes of a state that depend on the units alone."""
    text_bytes: tuple[int, ...]
    """The bytes of the texts that contexts refer to, in a state of 1, 2 and 4 shards."""
    most_text_bytes: int
    """What these would be if no two contexts were in the same sequence."""
    receive_seconds: float
    """CPU seconds for reading a state that a worker has sent."""
    merge_seconds: float
    commit_seconds: float
    """CPU seconds for writing a state."""
    peak_bytes: int
    """The most memory that the process held until the first shard was finished, which is what a worker needs."""

    @property
    def speed(self) -> float:
        """Tokens per CPU second."""
        return self.tokens / self.seconds

    @property
    def driver_seconds(self) -> float:
        """CPU seconds of the driver per shard: every shard is received, written, and takes part in one merge, whose
        halves are read and whose result is written."""
        return 3 * self.receive_seconds + 2 * self.commit_seconds + self.merge_seconds

    @property
    def most_bytes(self) -> int:
        """The largest size of a state."""
        return self.fixed_bytes + self.most_text_bytes

    def plan(self, workers: int = WORKERS) -> Plan:
        """How to read `TOKENS` tokens with so many workers."""
        tokens_per_shard = ROOM * workers * self.speed * self.driver_seconds
        # At least as large as by default, and a round number of characters.
        characters = max(500_000, tokens_per_shard * self.characters_per_token)
        digits = 10 ** (len(str(int(characters))) - 1)
        characters = math.ceil(characters / digits) * digits
        shards = math.ceil(TOKENS * self.characters_per_token / characters)
        # The texts of a shard, and those of merged states, which hold the texts of more shards.
        tokens = characters / self.characters_per_token
        texts = min(self.most_text_bytes, self.text_bytes[0] * SHARDS / self.tokens * tokens)
        levels = range(1, math.ceil(math.log2(shards)) + 1)
        merged = [self.fixed_bytes + min(self.most_text_bytes, texts * 2**level) for level in levels]
        return Plan(
            hours=TOKENS / self.speed / 3600,
            shard_characters=characters,
            shards=shards,
            shard_minutes=characters / self.characters_per_token / self.speed / 60,
            traffic=round(shards * (self.fixed_bytes + texts)),
            disk=round(2 * workers * (self.fixed_bytes + texts) + sum(merged)),
            memory=3 * self.most_bytes,
            saturated=int(500_000 / self.characters_per_token / self.speed / self.driver_seconds),
        )


@dataclass(frozen=True)
class Plan:
    """A harvest of `TOKENS` tokens."""

    hours: float
    """Core-hours."""
    shard_characters: int
    shards: int
    shard_minutes: float
    traffic: int
    """Bytes that workers send to the driver."""
    disk: int
    """Bytes in the work folder: a merged state of every size, and two shards of every worker that wait for others."""
    memory: int
    """Bytes for the two halves and the whole of the largest merge."""
    saturated: int
    """With so many workers, the driver would be busy all the time if shards had the default size."""


def measure(model: str) -> Cost:
    """Harvest a few shards, and time every step that a shard goes through."""
    torch.set_num_threads(1)
    opened = OpenedModel.open(model, ("mlp",), torch.device("cpu"))
    settings = HarvestSettings(shard_characters=CHARACTERS[model])
    shards = list(islice(shards_of(open_corpus("library").documents(), settings.shard_characters), SHARDS))
    settings = calibrated(opened.model, settings, shards[0])
    # Nothing that is made once shall count.
    harvest_shard(
        opened.model,
        opened.sites,
        settings,
        dataclasses.replace(shards[0], documents=shards[0].documents[:2]),
    )
    start = time.process_time()
    states = [harvest_shard(opened.model, opened.sites, settings, shards[0])]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    states += [harvest_shard(opened.model, opened.sites, settings, shard) for shard in shards[1:]]
    seconds = time.process_time() - start
    merging, pairs = _timed(lambda: [merge(states[0], states[1]), merge(states[2], states[3])])
    whole = merge(*pairs)
    sent = states[0].to_bytes()
    receiving, _ = _timed(lambda: HarvestState.from_bytes(sent))
    with tempfile.TemporaryDirectory() as folder:
        committing, _ = _timed(lambda: WorkFolder(Path(folder)).commit(0, shards[0].id, states[0]))
    tokens = sum(state.tokens for state in states)
    sites = states[0].sites.values()
    places = sum(
        site.units * (settings.top + (settings.low if site.low is not None else 0)) for site in sites
    )
    texts = [_text_bytes(state.sequences) for state in (states[0], pairs[0], whole)]
    return Cost(
        model=model,
        units=sum(site.units for site in sites),
        tokens=tokens,
        seconds=seconds,
        characters_per_token=sum(shard.characters for shard in shards) / tokens,
        fixed_bytes=len(states[0].to_bytes()) - texts[0],
        text_bytes=tuple(texts),
        most_text_bytes=round(places * texts[-1] / len(whole.sequences)),
        receive_seconds=receiving,
        merge_seconds=merging / 2,
        commit_seconds=committing,
        peak_bytes=peak,
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def _text_bytes(sequences: Sequences) -> int:
    numbers = sum(tensor.nbytes for tensor in (sequences.ids, sequences.starts, sequences.tokens))
    return numbers + len(json.dumps(sequences.documents))


def _size(count: float) -> str:
    """Bytes as a person writes them."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} bytes"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def tables(costs: list[Cost]) -> dict[str, str]:
    """What the page's template asks for."""
    columns = ["", *(cost.model for cost in costs)]

    def table(rows: dict[str, Callable[[Cost], str]]) -> str:
        return markdown_table(
            columns, [[words, *(value(cost) for cost in costs)] for words, value in rows.items()]
        )

    measured = table(
        {
            "neurons": lambda c: f"{c.units:,}",
            f"tokens that were read, in {SHARDS} shards": lambda c: f"{c.tokens:,}",
            "tokens per CPU second": lambda c: f"{c.speed:,.0f}",
            "characters per token": lambda c: f"{c.characters_per_token:.2f}",
            "state per neuron, without texts": lambda c: f"{c.fixed_bytes / c.units:,.0f} bytes",
            "state, without texts": lambda c: _size(c.fixed_bytes),
            "texts after 1, 2, 4 shards": lambda c: ", ".join(_size(count) for count in c.text_bytes),
            "texts at most": lambda c: _size(c.most_text_bytes),
            "reading a state": lambda c: _time(c.receive_seconds),
            "writing a state": lambda c: _time(c.commit_seconds),
            "merging two states": lambda c: _time(c.merge_seconds),
            "driver, per shard": lambda c: _time(c.driver_seconds),
            "most memory of a worker": lambda c: _size(c.peak_bytes),
        }
    )
    planned = table(
        {
            "computing": lambda c: f"{c.plan().hours:,.0f} core-hours",
            f"on {WORKERS} cores": lambda c: duration(3600 * c.plan().hours / WORKERS),
            "`--shard`": lambda c: f"{c.plan().shard_characters:,}",
            "shards": lambda c: f"{c.plan().shards:,}",
            "time that a shard takes, and that a lost worker costs": lambda c: duration(
                60 * c.plan().shard_minutes
            ),
            "state at most": lambda c: _size(c.most_bytes),
            "sent to the driver": lambda c: _size(c.plan().traffic),
            "work folder, about": lambda c: _size(c.plan().disk),
            "memory of the driver while it merges": lambda c: _size(c.plan().memory),
            "driver is busy all the time, with the default shard, at": lambda c: (
                f"{c.plan().saturated:,} workers"
            ),
        }
    )
    return {"measured": measured, "planned": planned, "machine": processor_name(), "workers": str(WORKERS)}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(CHARACTERS), default=list(CHARACTERS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    kept = json.loads(options.keep.read_text()) if options.keep and options.keep.is_file() else {}
    for model in options.only:
        kept[model] = dataclasses.asdict(measure(model))
        if options.keep:
            options.keep.write_text(json.dumps(kept, indent=1))
    costs = [
        Cost(**{**kept[name], "text_bytes": tuple(kept[name]["text_bytes"])})
        for name in CHARACTERS
        if name in kept
    ]
    found = tables(costs)
    print(found["measured"], found["planned"], sep="\n\n")
    page = fill_page(Path(__file__).with_suffix(".md"), **found)
    (ROOT / "docs" / "neuroscope-harvest.md").write_text(page)


if __name__ == "__main__":
    main()
