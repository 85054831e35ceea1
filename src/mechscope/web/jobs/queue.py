"""Run jobs one after another, whatever happens to the pages that asked for them, and to the server."""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mechscope.pages.endpoints import RefusedError
from mechscope.pages.formatting import duration, first_capital
from mechscope.pages.jobs import JobKind
from mechscope.runs.progress_file import read_progress
from mechscope.settings import Settings
from mechscope.storage.files import NotKeptError
from mechscope.storage.folder_lock import FolderInUseError, hold_folder
from mechscope.web.jobs.process import Command, JobProcess, command_of
from mechscope.web.jobs.record import KEPT, JobFolder, JobRecord, State

log = logging.getLogger(__name__)

LOCK = ".server.lock"
"""Held while a server runs jobs: two servers with one folder of runs must not run two at once."""
LOCK_SECONDS = 2.0
"""How long to wait for that lock: the thread before may be about to release it."""
IDLE_SECONDS = 5.0
"""How long the thread waits for another job before it ends."""
MOST_WAITING = 8
"""How many jobs may be queued."""
LARGEST_OUTPUT = 50_000_000
"""A job that prints more bytes than this is stopped, before it fills the disk."""
LOOK_SECONDS = 0.1
"""How often a running process is looked at."""
STOPPED_BY_SIGNAL = tuple(128 + number for number in (signal.SIGINT, signal.SIGTERM, 1))
"""Exit codes of a `mechscope run` that was asked to stop."""
KEPT_PARTS = "Its finished parts are kept; resume it to go on from them."
RUN_AGAIN = "Run it again."


class JobQueue:
    """The jobs of one folder of runs. All methods may be called from any thread.

    A thread works while there are jobs, and holds a lock on their folder meanwhile. A job's process does not end when
    the server is killed: the next server finds it and goes on with the queue. If the server is stopped (`close`), it
    stops its job.

    Args:
        runs: the folder of runs; jobs are recorded in its subfolder `jobs`.
        kinds: what can be run.
        command: runs the jobs of all kinds instead of `mechscope`, for tests.
    """

    def __init__(self, runs: Path, kinds: Iterable[JobKind], command: Command | None = None) -> None:
        self.runs = runs
        self.kinds = {kind.name: kind for kind in kinds}
        self.folder = JobFolder(runs / "jobs", self.kinds)
        self._command = command
        self._changed = threading.Condition(threading.RLock())
        self._worker: threading.Thread | None = None
        self._is_ready = False
        self._refusal = ""
        self._cancelled: set[str] = set()
        self._unwritten: dict[str, JobRecord] = {}
        self._closing = False
        self.jobs()

    def jobs(self) -> list[JobRecord]:
        """All jobs, the oldest first. If an earlier server has left some, they are looked after from now on."""
        with self._changed:
            records = self._records()
            if self._worker is None and not self._closing and any(record.is_active for record in records):
                self._start_worker()
            return records

    def find(self, job: str) -> JobRecord:
        """A job by its id.

        Raises:
            RefusedError: if there is none.
        """
        with self._changed:
            record = self._unwritten.get(job) or self.folder.read(job)
        if record is None:
            raise RefusedError(404, f"There is no job with this id. The last {KEPT} are remembered.")
        return record

    def submit(self, settings: Settings) -> JobRecord:
        """Queue a job of the kind that has these settings; if it is queued or running already, that job.

        Raises:
            RefusedError: if too many jobs wait, another server runs jobs in this folder, or nothing can be stored.
        """
        kind = next(each for each in self.kinds.values() if each.settings is type(settings))
        with self._changed:
            self._need_worker()
            active = [record for record in self.jobs() if record.is_active]
            wanted = (kind.name, settings.to_dict())
            if same := [record for record in active if (record.kind, record.experiment) == wanted]:
                return same[0]
            if len(active) > MOST_WAITING:
                raise RefusedError(
                    409, f"{MOST_WAITING} runs are waiting already. Wait, or cancel one of them."
                )
            try:
                self.folder.forget_old()
                record = self.folder.create(kind, settings)
            except NotKeptError as error:
                raise RefusedError(409, str(error)) from error
            self._changed.notify_all()
            return record

    def cancel(self, job: str) -> JobRecord:
        """Stop a job, or take it out of the queue. A job that is over stays as it is.

        Raises:
            RefusedError: if there is no such job, or another server runs it.
        """
        with self._changed:
            if not self.find(job).is_active:
                return self.find(job)
            self._need_worker()
            record = self.find(job)
            if record.state == "queued":
                return self._write(record, "cancelled")
            if record.state == "running":
                self._cancelled.add(job)
            return record

    def close(self) -> None:
        """Stop the running job, if there is one, and run no others."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            worker = self._worker
        if worker is not None:
            worker.join()

    def _need_worker(self) -> None:
        """Make sure that the thread works, which holds the folder's lock.

        Raises:
            RefusedError: if it cannot.
        """
        while not (self._worker is not None and self._is_ready):
            if self._closing:
                raise RefusedError(409, "The server is stopping.")
            if self._worker is None:
                self._start_worker()
            self._changed.wait_for(lambda: self._worker is None or self._is_ready)
            if self._worker is None and self._refusal:
                raise RefusedError(409, self._refusal)

    def _start_worker(self) -> None:
        self._is_ready = False
        self._refusal = ""
        self._worker = threading.Thread(target=self._work, name="mechscope-jobs", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        refusal = ""
        try:
            with hold_folder(self.folder.folder, wait=LOCK_SECONDS, name=LOCK):
                found = self._take_over()
                with self._changed:
                    self._is_ready = True
                    self._changed.notify_all()
                if found is not None:
                    self._watch(*found)
                while (record := self._next()) is not None:
                    self._run(record)
        except FolderInUseError:
            refusal = (
                f"Another mechscope server runs the jobs of {self.runs}: use its pages, or give this server another "
                "folder (mechscope serve --runs FOLDER)."
            )
        except OSError as error:
            refusal = str(error)
        except Exception:
            log.exception("the queue of jobs failed")
            refusal = "The queue of jobs failed; the server's terminal shows why."
        finally:
            with self._changed:
                if self._worker is threading.current_thread():
                    self._refusal = refusal
                    self._worker = None
                self._changed.notify_all()

    def _take_over(self) -> tuple[JobRecord, JobProcess] | None:
        """Sort out the jobs that an earlier server has left, and find the process that still runs."""
        with self._changed:
            found = None
            for record in self._records():
                if record.state == "running":
                    process = JobProcess.find(record.process, record.process_created)
                    if process is None:
                        self._end(record, None)
                    else:
                        found = (record, process)
            # Nobody expects a computation to begin by itself, long after it was asked for.
            if found is None:
                self._interrupt_queued()
            return found

    def _next(self) -> JobRecord | None:
        """The next job to run; None if there has been none for a while, or the server stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._queued(), timeout=IDLE_SECONDS)
            if self._closing:
                self._interrupt_queued()
                return None
            if queued := self._queued():
                return queued[0]
            # Before the lock on the folder is released: who comes now starts another thread, which waits for it.
            self._worker = None
            return None

    def _queued(self) -> list[JobRecord]:
        return [record for record in self._records() if record.state == "queued"]

    def _records(self) -> list[JobRecord]:
        return [self._unwritten.get(record.id, record) for record in self.folder.read_all()]

    def _interrupt_queued(self) -> None:
        for record in self._queued():
            self._write(record, "interrupted", "The server was stopped before this run began.")

    def _run(self, record: JobRecord) -> None:
        with self._changed:
            if self.find(record.id).state != "queued":
                return
            # Recorded before the process is there: a job that cannot be recorded must not run.
            record = self._write(dataclasses.replace(record, begun=time.time()), "running")
            if record.id in self._unwritten:
                self._write(record, "failed", f"{self.folder.folder} cannot be written to: make room there.")
                return
            try:
                output, progress = self.folder.output(record.id), self.folder.progress(record.id)
                process = JobProcess.start(self._command_line(record), output, progress)
            except OSError as error:
                self._write(record, "failed", f"The process could not be started: {error.strerror or error}.")
                return
            record = self._write(
                dataclasses.replace(record, process=process.number, process_created=process.created),
                "running",
            )
        self._watch(record, process)

    def _command_line(self, record: JobRecord) -> list[str]:
        settings = self.folder.settings(record)
        if self._command is not None:
            return self._command(settings, self.runs)
        return command_of(self.kinds[record.kind], settings, self.runs)

    def _watch(self, record: JobRecord, process: JobProcess) -> None:
        """Wait until a process has ended, or must be stopped, and record how it ended."""
        while process.is_running():
            with self._changed:
                closing = self._closing
                cancelled = record.id in self._cancelled
            if closing or cancelled:
                process.stop()
                problem = "" if cancelled else f"The server was stopped. {self._what_next(record)}"
                self._write(record, "cancelled" if cancelled else "interrupted", problem)
                return
            limit = self.kinds[record.kind].most_seconds
            if limit is not None and time.time() - (record.begun or record.created) > limit:
                process.stop()
                self._write(record, "failed", f"It took longer than {duration(limit)} and was stopped.")
                return
            if self._output_size(record) > LARGEST_OUTPUT:
                process.stop()
                self._write(
                    record, "failed", f"It printed more than {LARGEST_OUTPUT:,} bytes and was stopped."
                )
                return
            time.sleep(LOOK_SECONDS)
        self._end(record, process.exit_code)

    def _output_size(self, record: JobRecord) -> int:
        with suppress(OSError):
            return self.folder.output(record.id).stat().st_size
        return 0

    def _end(self, record: JobRecord, code: int | None) -> None:
        """Record how a process has ended.

        Args:
            code: its exit code, or minus the signal that ended it; None if only its files can tell.
        """
        code = read_progress(self.folder.progress(record.id)).exit_code if code is None else code
        if code == 0:
            self._write(record, "finished")
        elif code is None:
            self._write(
                record, "interrupted", f"Its process ended while no server ran. {self._what_next(record)}"
            )
        elif code in STOPPED_BY_SIGNAL:
            self._write(record, "interrupted", f"It was stopped from outside. {self._what_next(record)}")
        elif code < 0:
            problem = f"Its process was killed (signal {-code}); a machine that runs out of memory does that."
            self._write(record, "interrupted", f"{problem} {self._what_next(record)}")
        else:
            self._write(record, "failed", problem_in(self.folder.last_lines(record.id)))

    def _what_next(self, record: JobRecord) -> str:
        return KEPT_PARTS if self.kinds[record.kind].keeps_parts else RUN_AGAIN

    def _write(self, record: JobRecord, state: State, problem: str = "") -> JobRecord:
        """Record a new state. If it cannot be written, it is remembered for as long as the server runs."""
        ended = None if state in ("queued", "running") else time.time()
        record = dataclasses.replace(record, state=state, problem=problem, ended=ended)
        with self._changed:
            try:
                self.folder.write(record)
                self._unwritten.pop(record.id, None)
            except NotKeptError as error:
                log.warning("%s", error)
                self._unwritten[record.id] = record
            self._changed.notify_all()
        return record


def problem_in(lines: tuple[str, ...]) -> str:
    """The sentence in which `mechscope run` said why it ended, among the last lines that it printed.

    >>> problem_in(("mechscope: the folder runs cannot be written to.",))
    'The folder runs cannot be written to.'
    """
    for line in reversed(lines):
        for mark in ("mechscope: ", ": not finished. "):
            before, found, words = line.partition(mark)
            if found and words and (mark.startswith(":") or not before):
                return first_capital(words)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"It ended with an error: {last[:300]}" if last else "It ended with an error, and printed nothing."
