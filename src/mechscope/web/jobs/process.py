"""The process of a job: started in a group of its own, found again after the server was restarted, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from mechscope.pages.jobs import JobKind
from mechscope.runs.progress_file import PROGRESS_VARIABLE
from mechscope.settings import Settings

STOP_SECONDS = 10.0
"""How long a process may take to end after it was asked to, before it is killed."""
SAME_PROCESS_SECONDS = 2.0
"""Two creation times within this many seconds are those of one process: the system's clock may have been corrected."""
NICENESS = 5
"""Lowers the priority, so that pages stay quick while a job computes."""

Command = Callable[[Any, Path], list[str]]
"""Settings of a job and folder of runs → the command line that runs it."""


def command_of(kind: JobKind, settings: Settings, runs: Path) -> list[str]:
    """The command line that runs a job with this Python, in one process."""
    # -P: no module of the current folder is imported.
    arguments = [*kind.arguments(settings, runs), *kind.extra_arguments]
    return [sys.executable, "-P", "-m", "mechscope", *arguments]


class JobProcess:
    """A running process, started by this server or by one before it.

    Args:
        process: the process.
        started: what started it here; None if it was found.
    """

    def __init__(self, process: psutil.Process, started: subprocess.Popen[bytes] | None = None) -> None:
        self.number = process.pid
        self.created = process.create_time()
        self._process = process
        self._started = started

    @classmethod
    def start(cls, command: list[str], output: Path, progress: Path) -> JobProcess:
        """Start a command whose output and progress go to files, so that it does not depend on this process.

        Raises:
            OSError: if it cannot be started, or the files cannot be written.
        """
        environment: Mapping[str, str] = {
            **os.environ,
            PROGRESS_VARIABLE: str(progress.absolute()),
            "PYTHONUNBUFFERED": "1",
        }
        with output.open("ab") as file:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                # A group of its own: Ctrl-C in the server's terminal does not reach it, and all of it can be stopped.
                start_new_session=True,
            )
        process = psutil.Process(started.pid)
        with suppress(psutil.Error, OSError):
            process.nice(NICENESS)
        return cls(process, started)

    @classmethod
    def find(cls, number: int | None, created: float | None) -> JobProcess | None:
        """The process that an earlier server started, if it still runs."""
        if number is None or created is None:
            return None
        try:
            found = cls(psutil.Process(number))
        except psutil.Error:
            return None
        return found if abs(found.created - created) < SAME_PROCESS_SECONDS and found.is_running() else None

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return _is_alive(self._process) if self._started is None else self._started.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None if it runs, or was started by another server."""
        return None if self._started is None else self._started.poll()

    def stop(self) -> None:
        """End the process and all that it has started.

        They are asked first, which lets `mechscope run` keep its finished parts, and killed if they do not end.
        """
        children: list[psutil.Process] = []
        with suppress(psutil.Error):
            children = self._process.children(recursive=True)
        if self.is_running():
            self._ask_group(children)
        if not self._have_ended(children):
            for process in [self._process, *children]:
                # psutil compares the time of creation: a number that is used again is not killed.
                with suppress(psutil.Error):
                    process.kill()
            self._have_ended(children)

    def _ask_group(self, children: list[psutil.Process]) -> None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.number, signal.SIGTERM)
            return
        for process in [self._process, *children]:
            with suppress(psutil.Error):
                process.terminate()

    def _have_ended(self, children: list[psutil.Process]) -> bool:
        """Wait for the end of the processes; False if some still run after STOP_SECONDS."""
        deadline = time.monotonic() + STOP_SECONDS
        while self.is_running() or any(map(_is_alive, children)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
