"""Tell another program how far this one has come: a small JSON file that is replaced as the work goes on.

The program that starts `mechscope run` names the file in the environment variable MECHSCOPE_PROGRESS. Does not load
torch.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mechscope.reading import read_json_object
from mechscope.settings import NonNegativeFloat, NonNegativeInt, Settings, decode
from mechscope.storage.files import write_atomically

PROGRESS_VARIABLE = "MECHSCOPE_PROGRESS"
"""Environment variable that names the file; nothing is written without it."""
SECONDS_BETWEEN = 0.5
"""Updates within one activity come at most this often."""


@dataclass(frozen=True, kw_only=True)
class Progress(Settings):
    """How far a program has come."""

    activity: str = ""
    """What it is doing, in a few words; empty while nothing is known."""
    done: NonNegativeInt = 0
    """Finished steps of this activity."""
    total: NonNegativeInt = 0
    """All steps of this activity; 0 if it does not count any."""
    seconds_left: NonNegativeFloat | None = None
    """How long the activity will still take, as far as one can tell."""
    finished_parts: NonNegativeInt = 0
    """Parts of the run that are finished and stored, including those of earlier runs."""
    exit_code: int | None = None
    """The exit code of the program; None while it runs."""


class ProgressReporter:
    """Writes a progress file now and then. A file that cannot be written is ignored: the work matters more.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "progress.json"
    >>> reporter = ProgressReporter(path)
    >>> reporter.step("training", 3, 10)
    >>> reporter.end(0)
    >>> read_progress(path)
    Progress(activity='training', done=3, total=10, seconds_left=None, finished_parts=0, exit_code=0)

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._activity = ""
        self._begun = (0.0, 0)  # when the activity began, and how many steps were done then
        self._done = self._total = self._parts = 0
        self._written = float("-inf")

    def step(self, activity: str, done: int, total: int) -> None:
        """How many steps of an activity are done."""
        is_new = activity != self._activity
        if is_new or done < self._done:
            self._activity = activity
            self._begun = (time.monotonic(), done)
        self._done, self._total = done, total
        self._write(at_once=is_new)

    def part(self) -> None:
        """One more part of the run is finished."""
        self._parts += 1
        self._write()

    def end(self, code: int) -> None:
        """The program ends."""
        self._write(code)

    def _write(self, exit_code: int | None = None, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if exit_code is None and not at_once and now - self._written < SECONDS_BETWEEN:
            return
        self._written = now
        progress = Progress(
            activity=self._activity,
            done=self._done,
            total=self._total,
            seconds_left=self._seconds_left(now),
            finished_parts=self._parts,
            exit_code=exit_code,
        )
        with suppress(OSError):
            write_atomically(self.path, json.dumps(progress.to_dict()) + "\n")

    def _seconds_left(self, now: float) -> float | None:
        begun, before = self._begun
        steps = self._done - before
        if not self._total or steps <= 0 or self._done > self._total:
            return None
        return round((now - begun) / steps * (self._total - self._done), 1)


def progress_reporter() -> ProgressReporter | None:
    """The reporter of this process, or None if nobody wants to know."""
    named = os.environ.get(PROGRESS_VARIABLE, "").strip()
    return _reporter(named) if named else None


@cache
def _reporter(named: str) -> ProgressReporter:
    return ProgressReporter(Path(named))


def read_progress(path: Path) -> Progress:
    """What a progress file says; nothing if it is missing or damaged.

    >>> read_progress(Path("no such file"))
    Progress(activity='', done=0, total=0, seconds_left=None, finished_parts=0, exit_code=None)
    """
    try:
        return decode(Progress, read_json_object(path), "a progress file")
    except (OSError, ValueError):
        return Progress()
