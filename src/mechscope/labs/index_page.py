"""index.html in the folder of all runs: which steps were run, what came out, and where the reports are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mechscope.labs import registry
from mechscope.labs.claims_file import ClaimsFile, read_claims
from mechscope.labs.registry import LabEntry
from mechscope.pages.formatting import duration
from mechscope.pages.frame import render_page
from mechscope.storage.files import write_atomically
from mechscope.storage.folder_lock import hold_folder


@dataclass(frozen=True)
class _Run:
    link: str
    found: ClaimsFile

    @property
    def words(self) -> str:
        seeds = ", ".join(map(str, self.found.seeds))
        return f"{'seed' if len(self.found.seeds) == 1 else 'seeds'} {seeds}"

    @property
    def time(self) -> str:
        return duration(self.found.seconds)


@dataclass(frozen=True)
class _Step:
    entry: LabEntry
    runs: tuple[_Run, ...]

    @property
    def title(self) -> str:
        # A step's title is known from its runs; without one, its slug is what the command line wants.
        return self.runs[0].found.title if self.runs else self.entry.slug


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
    counted = [step.runs[0].found for step in steps if step.runs]
    page = render_page(
        Path(__file__).parent / "index.html",
        steps=steps,
        totals={
            status: sum(found.count(status) for found in counted) for status in ("pass", "fail", "not-run")
        },
    )
    return write_atomically(out / "index.html", page)


def _runs(out: Path, entry: LabEntry) -> tuple[_Run, ...]:
    runs: list[_Run] = []
    for path in sorted((out / entry.folder_name).glob("*/claims.json")):
        try:
            found = read_claims(path)
        except ValueError:
            continue  # `verify` says what is wrong with it; here there is nothing to count
        runs.append(_Run(quote((path.parent / "report.html").relative_to(out).as_posix()), found))
    return tuple(sorted(runs, key=lambda run: (run.found.budget, run.found.seeds)))
