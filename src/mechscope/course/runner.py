"""Run the learner's code in processes of their own, with limits on time, memory and output.

A server process imports torch once; each check is forked from it, so that the answer comes in a fraction of a second
and whatever the learner's code does ends with its process. Where the system cannot fork, each check starts anew.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from mechscope.course.learner_file import TOO_LARGE, OutOfTime, learner_line
from mechscope.course.result import CheckResult, FigureResult
from mechscope.course.unit import Exercise, Unit

MEMORY = 3 * 2**30
"""How many bytes a check may use."""
GRACE = 2.0
"""Seconds of computing that a check gets beyond its limit to say where it was."""
PATIENCE = 6.0
"""How many times its limit a check may last in all. Only computing counts towards the limit, so that other programs on
the machine do not make a right answer wrong; this bounds code that waits for something."""
LOOK_EVERY = 0.05
"""Seconds between two looks at a check's memory."""
FIGURE_SECONDS = 20.0
"""Seconds of computing for the final figure of a unit."""
PRINTED = 4_000
"""Characters of printed text that are kept."""


@dataclass(frozen=True)
class Check:
    """Check one function of the learner's file."""

    exercise: Exercise
    path: Path
    passed: frozenset[str]
    seed: int

    def __call__(self) -> CheckResult:
        from mechscope.course.checking import check_file

        return check_file(self.exercise, self.path, self.seed, set(self.passed))


@dataclass(frozen=True)
class Drawing:
    """Draw the final figure of a unit."""

    unit: Unit
    path: Path
    passed: frozenset[str]

    def __call__(self) -> FigureResult:
        from mechscope.course.drawing import draw_with_file

        return draw_with_file(self.unit, self.path, self.passed)


Work = Check | Drawing


@dataclass(frozen=True)
class Stopped:
    """What is known about code that was stopped."""

    problem: str
    diagnosis: str
    line: int = 0
    source: str = ""
    printed: str = ""


class CheckRunner:
    """Runs checks and drawings, one at a time, each in a process of its own."""

    def __init__(self) -> None:
        if "forkserver" in multiprocessing.get_all_start_methods():
            self.context = multiprocessing.get_context("forkserver")
            self.context.set_forkserver_preload(["mechscope.course.preloaded"])
        else:
            self.context = multiprocessing.get_context("spawn")
        self._one_at_a_time = threading.Lock()

    def warm_up(self) -> None:
        """Start the server process before the first check needs it, with everything that makes many checks quick.

        This takes two or three seconds.
        """
        if hasattr(self.context, "set_forkserver_preload"):
            self.context.set_forkserver_preload(["mechscope.course.preloaded_for_many"])
        process = self.context.Process(target=_nothing)
        process.start()
        process.join()
        process.close()

    def run(
        self,
        exercise: Exercise,
        path: Path,
        passed: set[str],
        seed: int,
        memory: int = MEMORY,
    ) -> CheckResult:
        """Check one function of the learner's file.

        Args:
            exercise: which one.
            path: the learner's file.
            passed: names of the unit's functions that have passed.
            seed: decides the inputs.
            memory: how many bytes the check may use.
        """
        begun = time.monotonic()
        answer = self._answer(Check(exercise, path, frozenset(passed), seed), exercise.seconds, memory)
        if isinstance(answer, CheckResult):
            return answer
        if isinstance(answer, Stopped):
            seconds = time.monotonic() - begun
            return CheckResult(exercise.id, "stopped", seed, seconds, call="", **asdict(answer))
        raise RuntimeError(f"the check of {exercise.id} itself failed with seed {seed}:\n{answer}")

    def draw(self, unit: Unit, path: Path, passed: set[str], memory: int = MEMORY) -> FigureResult:
        """Draw the final figure of a unit.

        Args:
            unit: which one.
            path: the learner's file.
            passed: names of the unit's functions that have passed; the reference stands for the others.
            memory: how many bytes the drawing may use.
        """
        answer = self._answer(Drawing(unit, path, frozenset(passed)), FIGURE_SECONDS, memory)
        if isinstance(answer, FigureResult):
            return answer
        if isinstance(answer, Stopped):
            return FigureResult(unit.id, "stopped", **asdict(answer))
        raise RuntimeError(f"the figure of unit {unit.id} itself failed:\n{answer}")

    def _answer(self, work: Work, seconds: float, memory: int) -> object:
        """What the work gives; `Stopped` if it exceeded a limit or ended Python; the traceback of a fault of ours."""
        with self._one_at_a_time:
            receiver, sender = self.context.Pipe(duplex=False)
            process = self.context.Process(target=_work, args=(sender, work, seconds))
            process.start()
            sender.close()
            ended = ""
            try:
                ended = _wait(process, receiver, seconds, memory)
                answer = receiver.recv() if not ended else None
            except EOFError:
                answer = None
            finally:
                _end(process)
                receiver.close()
        return _reason(ended, seconds, process, memory) if answer is None else answer


def _wait(process: Any, receiver: Connection, seconds: float, memory: int) -> str:
    """Wait until the check answers; "time" or "memory" if it exceeds a limit."""
    deadline = time.monotonic() + PATIENCE * seconds
    while not receiver.poll(LOOK_EVERY):
        if time.monotonic() > deadline:
            return "time"
        with contextlib.suppress(psutil.Error):
            watched = psutil.Process(process.pid)
            if watched.memory_info().rss > memory:
                return "memory"
            if sum(watched.cpu_times()[:2]) > seconds + GRACE:
                return "time"
    return ""


def _end(process: Any) -> None:
    process.join(0.2)
    if process.is_alive():
        process.kill()
        process.join()


def _reason(ended: str, seconds: float, process: Any, memory: int) -> Stopped:
    if ended == "time":
        return _out_of_time(seconds)
    if ended == "memory":
        return Stopped(
            f"Your code used more than {memory / 2**30:.0f} GiB of memory and was stopped.",
            TOO_LARGE,
        )
    if process.exitcode is not None and process.exitcode < 0:
        name = signal.Signals(-process.exitcode).name
        return Stopped(
            f"Your code crashed Python ({name}).",
            "Is there a call to a library with wrong sizes, or endless recursion?",
        )
    return Stopped(
        "Your code ended Python before the check was done.",
        "Use `return` to leave a function, not os._exit.",
    )


def _out_of_time(seconds: float) -> Stopped:
    return Stopped(
        f"Your function did not finish within {seconds:.0f} seconds of computing.",
        "Is there a loop that never ends, or one over every number of a large tensor?",
    )


def _nothing() -> None:
    """The target of the process that starts the server."""


class _Printed(io.TextIOBase):
    """Standard output that keeps the beginning and counts the rest."""

    def __init__(self) -> None:
        self.kept = ""
        self.more = 0

    def write(self, text: str) -> int:
        room = PRINTED - len(self.kept)
        self.kept += text[:room]
        self.more += max(len(text) - room, 0)
        return len(text)

    @property
    def words(self) -> str:
        return self.kept + (f"\n… and {self.more:,} more characters" if self.more else "")


def _work(sender: Connection, work: Work, seconds: float) -> None:
    """What the process does: send the answer of the work, or the traceback of a fault that is ours."""
    # A figure that is shown must not open a window or a browser, nor print what it consists of.
    from plotly.io import renderers

    os.environ["MPLBACKEND"] = "Agg"
    renderers.default = ""
    printed = _Printed()
    if hasattr(signal, "SIGINT"):
        # Ctrl-C goes to the whole terminal; the parent decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            _time_limit(seconds),
        ):
            found = work()
        answer: object = replace(found, printed=printed.words)
    except OutOfTime as error:
        line, source = learner_line(error, work.path.resolve())
        answer = replace(_out_of_time(seconds), line=line, source=source, printed=printed.words)
    except BaseException:
        answer = traceback.format_exc()
    sender.send(answer)
    sender.close()
    sys.stdout.flush()
    # Threads and exit handlers of the learner's code must not keep the process.
    os._exit(0)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Any:
    """Raise OutOfTime in the learner's code after so many seconds of computing."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
