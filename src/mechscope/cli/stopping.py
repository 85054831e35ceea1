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
"""Signals that ask a program to end."""
ONE_REQUEST = 1.0
"""Seconds within which several signals are one request: `timeout` and process managers send two."""
IMPORTING = "<frozen importlib"
"""Where Python's import runs."""


class StopRequest(KeyboardInterrupt):
    """A signal asked this program to end; it can be handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Stopping:
    """End the program on a signal, and say how to continue.

    Args:
        arguments: the command line, without the program's name.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = shlex.join(["mechscope", *arguments])
        self.kept = ""
        """Which unfinished work is kept and where; empty for a command that keeps nothing."""
        self._first: float | None = None

    def how_to_go_on(self) -> str:
        """What is kept and the command that continues from it; empty if nothing is kept."""
        if not self.kept:
            return ""
        return f"{self.kept} To continue, run the same command again:\n  {self.command}"

    def words(self, number: int) -> str:
        """The message after signal `number` ended the work."""
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        return f"Stopped{by}. {self.how_to_go_on() or 'Nothing was written.'}"

    @contextmanager
    def handled(self) -> Generator[None]:
        """While this is open, a request to end raises `StopRequest` in the main thread.

        While something is imported, the program ends at once instead: an exception could be swallowed there, and
        nothing is being written. A second request ends it at once too. An ignored signal (`nohup`) stays ignored.
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
                os.write(2, f"\n{self.words(number)}\n".encode())
            os._exit(128 + number)
        raise StopRequest(number)


def _started_by_torchrun() -> bool:
    # Its processes wait for each other outside of Python, where no exception reaches them; it has words of its own.
    return "TORCHELASTIC_RUN_ID" in os.environ


def _is_importing(frame: FrameType | None) -> bool:
    """Whether this program is importing a module (frames outside the program do not count)."""
    while frame is not None and frame.f_globals.get("__name__") != "mechscope.cli.main":
        if frame.f_code.co_filename.startswith(IMPORTING):
            return True
        frame = frame.f_back
    return False
