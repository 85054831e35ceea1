"""What is stored about a job: RUNS/jobs/ID/job.json, beside the output and the progress of its process.

The files are the only record, so that a server that was killed finds everything again when it is restarted.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mechscope.pages.jobs import JobKind
from mechscope.reading import read_json_object
from mechscope.settings import NonNegativeFloat, NonNegativeInt, Settings, decode
from mechscope.storage.files import write_atomically

State = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]
ACTIVE: tuple[State, ...] = ("queued", "running")
"""The states of jobs that are not over."""
KEPT = 30
"""How many jobs are remembered; the oldest ones that are over are forgotten first."""
ID = re.compile(r"[0-9]{10}-[0-9a-f]{8}")
LAST_BYTES = 16_384
"""How much of a job's output is read for its last lines."""
LAST_LINES = 30


Values = Mapping[str, str | int | float | bool | None]
"""The settings of a job as plain values."""


@dataclass(frozen=True, kw_only=True)
class JobRecord(Settings):
    """One job, as it is stored."""

    id: str
    """Its folder's name."""
    kind: str = "step"
    """The name of its kind. Files of earlier versions have none: they could run nothing but steps."""
    experiment: Values
    """What it runs: the settings of its kind."""
    state: State = "queued"
    """How far it is."""
    problem: str = ""
    """Why it did not finish, in a sentence; empty if it did or is not over."""
    created: NonNegativeFloat
    """When it was asked for, in seconds since 1970."""
    begun: NonNegativeFloat | None = None
    """When its process was started."""
    ended: NonNegativeFloat | None = None
    """When it was over."""
    process: NonNegativeInt | None = None
    """The number of its process, which is also that of its process group."""
    process_created: NonNegativeFloat | None = None
    """When the system created that process: numbers are used again."""

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE


class JobFolder:
    """The records of all jobs.

    Args:
        folder: RUNS/jobs; created with the first job.
        kinds: what can be run, by name.
    """

    def __init__(self, folder: Path, kinds: Mapping[str, JobKind]) -> None:
        self.folder = folder
        self._kinds = kinds

    def create(self, kind: JobKind, settings: Settings) -> JobRecord:
        """Record a new job.

        Raises:
            NotKeptError: if it cannot be written.
        """
        now = time.time()
        name = f"{int(now):010d}-{secrets.token_hex(4)}"
        record = JobRecord(id=name, kind=kind.name, experiment=settings.to_dict(), created=now)
        self.write(record)
        return record

    def write(self, record: JobRecord) -> None:
        """Replace a job's record.

        Raises:
            NotKeptError: if it cannot be written.
        """
        write_atomically(self._file(record.id), json.dumps(record.to_dict(), indent=1) + "\n")

    def read(self, job: str) -> JobRecord | None:
        """A job's record; None if there is none, or it is damaged, or of a kind that this version cannot run."""
        if not ID.fullmatch(job):
            return None
        try:
            record = decode(JobRecord, read_json_object(self._file(job)), "a job")
            self.settings(record)
        except (OSError, ValueError, KeyError):
            return None
        return record if record.id == job else None

    def settings(self, record: JobRecord) -> Settings:
        """What a job runs, as the settings of its kind.

        Raises:
            KeyError: for an unknown kind.
            ValueError: if the kind has other settings.
        """
        return decode(self._kinds[record.kind].settings, record.experiment, "a job")

    def read_all(self) -> list[JobRecord]:
        """All jobs, the oldest first."""
        try:
            names = sorted(path.name for path in self.folder.iterdir() if ID.fullmatch(path.name))
        except OSError:
            return []
        records = [record for name in names if (record := self.read(name)) is not None]
        return sorted(records, key=lambda record: (record.created, record.id))

    def forget_old(self) -> None:
        """Remove the oldest jobs that are over, so that KEPT remain. Their runs and reports stay."""
        records = self.read_all()
        over = [record for record in records if not record.is_active]
        for record in over[: max(0, len(records) - KEPT)]:
            shutil.rmtree(self.folder / record.id, ignore_errors=True)

    def output(self, job: str) -> Path:
        """The file with everything that a job has printed."""
        return self.folder / job / "output.txt"

    def progress(self, job: str) -> Path:
        """The file with a job's progress (see `mechscope.runs.progress_file`)."""
        return self.folder / job / "progress.json"

    def last_lines(self, job: str) -> tuple[str, ...]:
        """The last lines that a job has printed."""
        try:
            with self.output(job).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - LAST_BYTES))
                text = file.read(LAST_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return ()
        lines = text.splitlines()
        # Reading began in the middle of a line.
        return tuple(lines[1:] if size > LAST_BYTES else lines)[-LAST_LINES:]

    def _file(self, job: str) -> Path:
        return self.folder / job / "job.json"
