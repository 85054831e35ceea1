"""Ctrl-C, SIGTERM and closing the terminal: end cleanly, report what is kept, and exit with 128 + the signal."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to stop."""
ONE_REQUEST = 1.0
"""Signals within this many seconds count as one request: `timeout` and process managers send two."""
IMPORTING = "<frozen importlib"
"""The file name of Python's import machinery in stack frames."""


class StopRequest(KeyboardInterrupt):
    """A signal asked this program to stop; it can be handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Stopping:
    """Stop the program on a signal, and say how to resume.

    Args:
        arguments: the command line without the program's name.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = shlex.join(["mechscope", *arguments])
        self.kept = ""
        """What unfinished work is saved and where; empty for a command that saves nothing."""
        self._first: float | None = None

    def how_to_resume(self) -> str:
        """What is saved and the command that resumes it; empty if nothing is saved."""
        if not self.kept:
            return ""
        return f"{self.kept} To continue, run the same command again:\n  {self.command}"

    def message(self, number: int) -> str:
        """The message after signal `number` stopped the work."""
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        return f"Stopped{by}. {self.how_to_resume() or 'Nothing was written.'}"

    @contextmanager
    def handled(self) -> Generator[None]:
        """Inside this context, a request to stop raises `StopRequest` in the main thread.

        During an import the program exits at once instead: an exception could be swallowed there, and nothing is
        being written. A second request also exits at once. An ignored signal (`nohup`) stays ignored.
        """
        if threading.current_thread() is not threading.main_thread() or _started_by_torchrun():
            yield
            return
        ours = {
            number: signal.signal(number, self._asked_to_end)
            for number in SIGNALS
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
        }
        try:
            yield
        finally:
            for number, before in ours.items():
                signal.signal(number, before)

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is not None and now - self._first < ONE_REQUEST:
            return
        second = self._first is not None
        self._first = now
        if second or _is_importing(frame):
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            with contextlib.suppress(OSError):
                os.write(2, f"\n{self.message(number)}\n".encode())
            os._exit(128 + number)
        raise StopRequest(number)


def _started_by_torchrun() -> bool:
    # Its processes wait for each other outside Python, where no exception reaches them; torchrun has its own message.
    return "TORCHELASTIC_RUN_ID" in os.environ


def _is_importing(frame: FrameType | None) -> bool:
    """Whether this program is importing a module (ignoring frames outside the program)."""
    while frame is not None and frame.f_globals.get("__name__") != "mechscope.cli.main":
        if frame.f_code.co_filename.startswith(IMPORTING):
            return True
        frame = frame.f_back
    return False
