"""The runs of a step in a folder of runs, found by their claims.json."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from mechscope.labs.claims_file import ClaimsFile, read_claims
from mechscope.labs.registry import LabEntry

FILE = "claims.json"


@dataclass(frozen=True)
class FoundRun:
    """A run that was finished; its files may have been damaged since."""

    folder: Path
    """Where it lies."""
    when: datetime.datetime
    """When it was finished, in the time zone of this machine."""
    found: ClaimsFile | None
    """Its verdicts; None if they cannot be read."""
    problem: str = ""
    """Why they cannot be read."""


@dataclass(frozen=True)
class FinishedRun:
    """A run whose verdicts could be read."""

    folder: Path
    """Where it lies."""
    found: ClaimsFile
    """What it found."""
    when: datetime.datetime
    """When it was finished, in the time zone of this machine."""

    @property
    def seeds(self) -> str:
        """Its seeds in words."""
        return seeds_in_words(self.found.seeds)


def find_runs(out: Path, entry: LabEntry) -> tuple[FoundRun, ...]:
    """The runs of a step under OUT that were finished, the latest first; none if nothing was run.

    Raises:
        OSError: if the folder cannot be read; says which one.
    """
    folder = out / entry.folder_name
    try:
        found = [_found(inner / FILE) for inner in folder.iterdir() if (inner / FILE).exists()]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise OSError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return tuple(sorted(found, key=lambda run: run.when, reverse=True))


def finished_runs(out: Path, entry: LabEntry) -> tuple[FinishedRun, ...]:
    """The runs of a step whose verdicts can be read, the latest first.

    Raises:
        OSError: as `find_runs`.
    """
    return tuple(
        FinishedRun(run.folder, run.found, run.when) for run in find_runs(out, entry) if run.found is not None
    )


def seeds_in_words(seeds: tuple[int, ...]) -> str:
    """Seeds as a reader expects them.

    >>> seeds_in_words((0,)), seeds_in_words((0, 1, 2))
    ('seed 0', 'seeds 0, 1, 2')
    """
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _found(path: Path) -> FoundRun:
    try:
        found, problem = read_claims(path), ""
    except (ValueError, OSError) as error:
        found, problem = None, str(error)
    # A file without a time is dated by its own.
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    when = written if found is None or found.finished is None else found.finished
    return FoundRun(path.parent, when.astimezone(), found, problem)
