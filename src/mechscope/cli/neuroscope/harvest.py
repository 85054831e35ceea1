"""`mechscope neuroscope harvest`: read a corpus, and publish what was found in a store."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from mechscope.cli.command_line import command_line
from mechscope.cli.errors import user_errors
from mechscope.cli.neuroscope.commands import Harvest
from mechscope.cli.progress_lines import ProgressLines
from mechscope.neuroscope.units import UnitAddress
from mechscope.pages.formatting import file_size

if TYPE_CHECKING:
    from pathlib import Path

    from mechscope.neuroscope.engines.engine import Engine
    from mechscope.neuroscope.expected_size import ExpectedSize
    from mechscope.neuroscope.finished_harvest import Finished
    from mechscope.neuroscope.prepared_harvest import PreparedHarvest
    from mechscope.neuroscope.settings import HarvestSettings


OPTIONS = {
    "context": "--context",
    "top": "--top",
    "low": "--low",
    "sample": "--sample",
    "batch_tokens": "--batch",
    "threads": "--threads",
    "shard_characters": "--shard",
    "seed": "--seed",
    "max_tokens": "--max-tokens",
}
"""Setting → the option that sets it."""
SETTING = re.compile(rf"(?:\bsettings\.|^|(?<=; ))({'|'.join(OPTIONS)})(?= (?:must be|is) )")
"""The name of a setting in a sentence about its value."""


def run_harvest(command: Harvest) -> int:
    """Harvest, or go on with a harvest, and publish it."""
    with ExitStack() as stack:
        with user_errors(), _naming_options():
            # Imported late, because it loads torch.
            from mechscope.neuroscope.comparing import WORK
            from mechscope.neuroscope.corpus import open_corpus
            from mechscope.neuroscope.engines.engine import WorkerError
            from mechscope.neuroscope.expected_size import expected_size
            from mechscope.neuroscope.folders import store_folder
            from mechscope.neuroscope.harvest import CorpusChangedError, finish_harvest
            from mechscope.neuroscope.prepared_harvest import prepare_harvest
            from mechscope.neuroscope.work_folder import hold_work_folder
            from mechscope.neuroscope.writing import check_destination

            engine = _engine(command)
            folder = store_folder(command.model) if command.out is None else command.out
            stack.enter_context(hold_work_folder(folder / WORK))
            prepared = prepare_harvest(
                command.model,
                folder / WORK,
                sites=command.sites,
                corpus=open_corpus(command.corpus, command.field),
                settings=_settings(command),
                max_tokens=command.max_tokens,
                device=command.device,
            )
            check_destination(folder, prepared.plan.model)
        before = sum(tokens for _, tokens in prepared.work.shards.values())
        expected = expected_size(prepared)
        _print_beginning(prepared, expected, folder)
        if finished := len(prepared.work.shards):
            were = "shard was" if finished == 1 else "shards were"
            print(f"{finished:,} {were} finished before, with {before:,} tokens", flush=True)
        began = time.monotonic()
        try:
            found = finish_harvest(
                prepared,
                engine,
                progress=False if command.no_progress else None,
                report=_report,
                expected=expected,
                steps=_harvest_lines(command),
            )
        except (WorkerError, CorpusChangedError) as error:
            print(f"mechscope: {error}\n{command.kept}", file=sys.stderr)
            return 1
        _print_end(found.finished, before, time.monotonic() - began)
        _publish(prepared, folder, command)
    print(f"Published in {folder}")
    first = UnitAddress(command.model, prepared.site_names[0], 0)
    where = [] if command.out is None else ["--store", command.out]
    print(f"Next: {command_line('neuroscope', 'show', str(first), *where)}")
    return 0


@contextmanager
def _naming_options() -> Generator[None]:
    """Name the options of the command line where errors name settings."""
    try:
        yield
    except ValueError as error:
        raise ValueError(SETTING.sub(lambda found: OPTIONS[found[1]], str(error))) from error


def _report(line: str) -> None:
    """Print a line above the bar."""
    tqdm.write(line, file=sys.stderr)


def _engine(command: Harvest) -> Engine:
    """Who computes.

    Raises:
        ValueError: for options that the engine does not have.
        ImportError: if Ray is not installed.
    """
    if command.address is not None and command.engine != "ray":
        raise ValueError("--address is that of a Ray cluster: add --engine ray.")
    if command.workers is not None and command.engine == "local":
        raise ValueError("--workers needs --engine processes or --engine ray; local is this process alone.")
    if command.workers is not None and command.workers < 1:
        raise ValueError(f"--workers must be at least 1, not {command.workers}.")
    if command.engine == "processes":
        from mechscope.neuroscope.engines.processes import Processes

        return Processes(command.workers)
    if command.engine == "ray":
        from mechscope.neuroscope.engines.ray import Ray

        return Ray(command.workers, command.address)
    from mechscope.neuroscope.engines.local import Local

    return Local()


def _settings(command: Harvest) -> HarvestSettings:
    from mechscope.neuroscope.settings import HarvestSettings

    return HarvestSettings(
        context=command.context,
        top=command.top,
        low=command.low,
        sample=command.sample,
        batch_tokens=command.batch_tokens,
        threads=command.threads,
        shard_characters=command.shard,
        leave_out_sinks=not command.keep_sinks,
        seed=command.seed,
    )


def _print_beginning(prepared: PreparedHarvest, expected: ExpectedSize, folder: Path) -> None:
    """What will be read with what, and how much disk space it will take."""
    plan = prepared.plan
    names = ", ".join(prepared.site_names[:4])
    names += f" and {len(prepared.site_names) - 4} more" if len(prepared.site_names) > 4 else ""
    print(f"{plan.model}: {names} ({expected.units:,} units), on {plan.device}")
    print(f"Reading {plan.corpus_description}{_amount(expected, prepared.max_tokens)}")
    about = "about" if expected.tokens is not None else "at most about"
    work = (
        ""
        if expected.work_bytes is None
        else f", and up to {file_size(expected.work_bytes)} to resume the harvest"
    )
    print(f"Disk space: {about} {file_size(expected.store_bytes)} for the store{work}", flush=True)
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free, needed = shutil.disk_usage(there).free, expected.store_bytes + (expected.work_bytes or 0)
    if free < needed:
        _report(
            f"Only {file_size(free)} are free in {there}. If that is not enough, the harvest stops and keeps what is "
            "finished; --out names another place, and --top, --low and --sites keep less."
        )


def _amount(expected: ExpectedSize, max_tokens: int | None) -> str:
    """How much will be read."""
    if expected.tokens is None or expected.shards is None:
        return ", of unknown length"
    shards = "1 shard" if expected.shards == 1 else f"{expected.shards:,} shards"
    if expected.corpus_tokens is None:
        return f": about {_rounded(expected.tokens)} tokens, in {shards}"
    if max_tokens is not None and expected.tokens < expected.corpus_tokens:
        return (
            f": about {_rounded(expected.tokens)} of {_rounded(expected.corpus_tokens)} tokens, in {shards}"
        )
    return f": about {_rounded(expected.tokens)} tokens, in {shards}"


def _rounded(count: int) -> str:
    """A number of which only the first digits are known."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"


def _print_end(finished: Finished, before: int, seconds: float) -> None:
    now = finished.tokens - before
    speed = f"; {now:,} of them in {seconds:,.0f} s, {now / seconds:,.0f} per second" if now > 0 else ""
    whole = "the whole corpus" if finished.whole_corpus else "the beginning of the corpus"
    shards = "1 shard" if finished.shards == 1 else f"{finished.shards:,} shards"
    print(f"{finished.tokens:,} tokens in {shards}, {whole}{speed}", flush=True)


def _harvest_lines(command: Harvest) -> Callable[[int, int | None], None]:
    """Progress of the harvest where no bar is drawn."""
    if command.no_progress:
        return lambda done, total: None
    lines = ProgressLines("tokens")
    return lambda done, total: lines.step("harvest", done, total)


def _publish(prepared: PreparedHarvest, folder: Path, command: Harvest) -> None:
    from mechscope.neuroscope.publish import publish

    show = not command.no_progress and sys.stderr.isatty()
    lines = ProgressLines("units", is_exact=True)
    with tqdm(desc="publishing", unit=" units", disable=not show) as bar:

        def progress(what: str, done: int, total: int) -> None:
            if not show and not command.no_progress:
                lines.step(what, done, total)
            bar.set_description(what, refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        publish(prepared.folder, folder, opened=prepared.opened, progress=progress)
