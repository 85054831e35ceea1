"""index.html in the folder of all runs: which steps were run, what came out, and where the reports are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mechscope.labs import registry
from mechscope.labs.finished_runs import FinishedRun, finished_runs
from mechscope.labs.registry import LabEntry
from mechscope.pages.formatting import duration
from mechscope.pages.frame import render_page
from mechscope.storage.files import write_atomically
from mechscope.storage.folder_lock import hold_folder


@dataclass(frozen=True)
class _Run:
    link: str
    run: FinishedRun

    @property
    def time(self) -> str:
        return duration(self.run.found.seconds)


@dataclass(frozen=True)
class _Step:
    entry: LabEntry
    runs: tuple[_Run, ...]

    @property
    def title(self) -> str:
        # A step's title is known from its runs; without one, its slug is what the command line wants.
        return self.runs[0].run.found.title if self.runs else self.entry.slug


def write_index(out: str | Path) -> Path:
    """Write OUT/index.html from the finished runs under OUT and return its path.

    The totals count one run a step: the full budget's, where there is one.

    Raises:
        OSError: if it cannot be written, or another process does not finish writing it within a minute.
    """
    out = Path(out)
    # If two runs finish together, the second waits, so that its page lists the first.
    with hold_folder(out, wait=60, name=".index.lock"):
        return _write_index(out)


def _write_index(out: Path) -> Path:
    steps = [_Step(entry, _runs(out, entry)) for entry in registry.LABS]
    counted = [step.runs[0].run.found for step in steps if step.runs]
    page = render_page(
        Path(__file__).parent / "index.html",
        steps=steps,
        totals={
            status: sum(found.count(status) for found in counted) for status in ("pass", "fail", "not-run")
        },
    )
    return write_atomically(out / "index.html", page)


def _runs(out: Path, entry: LabEntry) -> tuple[_Run, ...]:
    # The full budget's first.
    runs = sorted(finished_runs(out, entry), key=lambda run: (run.found.budget, run.found.seeds))
    return tuple(_Run(quote((run.folder / "report.html").relative_to(out).as_posix()), run) for run in runs)
