"""Several runs at once: one process per run, the cores shared out, and no run lost because another one broke.

Small models are trained with steps of a few milliseconds, which a second thread hardly shortens. So two runs on two
cores with one thread each finish sooner than one after the other with two.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from tqdm import tqdm

from mechscope.storage.files import as_not_kept

CONTINUE = "The same command goes on from the parts that were finished; --jobs 1 needs less memory."


@dataclass(frozen=True)
class ParallelRun:
    """One run, described so that another process can do it."""

    name: str
    """Of its process."""
    function: Callable[..., Any]
    """A function of a module, called with the arguments and `line`: the terminal line that its bars take, or None."""
    arguments: tuple[Any, ...] = ()
    """Whatever can be pickled."""


@dataclass(frozen=True)
class RunResult:
    """The result of one run, or why there is none."""

    value: Any = None
    """What its function returned."""
    problem: str = ""
    """Why it could not be finished, in a sentence; empty if it was."""
    details: str = ""
    """The traceback, if the reason may be a defect of ours."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    number: int
    line: int


def count_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_jobs(asked: int, runs: int, device: torch.device, cores: int | None = None) -> int:
    """How many runs go at once: as many as asked for, or with 0 one per core (one at a time on a GPU).

    >>> choose_jobs(0, 6, torch.device("cpu"), cores=4)
    4

    Raises:
        ValueError: for a negative number.
    """
    if asked < 0:
        raise ValueError(f"--jobs is how many steps run at once, or 0 for one per core, not {asked}.")
    automatic = (count_cores() if cores is None else cores) if device.type == "cpu" else 1
    return max(1, min(runs, asked or automatic))


def run_all(
    runs: Sequence[ParallelRun], jobs: int = 1, progress: bool | None = False
) -> Generator[tuple[int, RunResult]]:
    """Do the runs, `jobs` at once, and give each one's number and result as it is done.

    A run's failure is part of its result, and the others go on. With one job the work is done in this process; with
    more, each run has a process of its own and an equal share of the cores. If the generator is closed, or this
    process ends, the other processes end too.

    Args:
        progress: whether the runs show bars: True, False, or None for "on a terminal".
    """
    if jobs == 1:
        for number, run in enumerate(runs):
            yield number, _run_here(run)
    else:
        yield from _run_in_processes(runs, jobs, progress)


def _run_here(run: ParallelRun) -> RunResult:
    try:
        return RunResult(run.function(*run.arguments, line=None))
    except Exception as error:
        return _failure(error)


def _run_in_processes(
    runs: Sequence[ParallelRun], jobs: int, progress: bool | None
) -> Generator[tuple[int, RunResult]]:
    # A fresh interpreter for each: forking a process whose torch has threads is not safe.
    context = multiprocessing.get_context("spawn")
    lock = context.RLock()
    waiting = list(enumerate(runs))
    free_lines = list(range(jobs))
    threads = max(1, count_cores() // jobs)
    working: list[_Worker] = []
    try:
        while waiting or working:
            while waiting and free_lines:
                with holding_back_signals():
                    working.append(_start(context, *waiting.pop(0), free_lines.pop(0), threads, lock))
            ready = wait([worker.pipe for worker in working])
            for worker in [worker for worker in working if worker.pipe in ready]:
                working.remove(worker)
                free_lines.append(worker.line)
                result = _result(worker)
                with lock:
                    _clear_bars(progress)
                    yield worker.number, result
    finally:
        # Only after an interruption: the processes have been told to stop as well, or are told now.
        for worker in working:
            worker.process.terminate()
        for worker in working:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _start(context: Any, number: int, run: ParallelRun, line: int, threads: int, lock: Any) -> _Worker:
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, line, threads, there, lock), name=run.name)
    process.start()
    # Only the worker holds this end now: when it dies, the other end says so.
    there.close()
    return _Worker(process, here, number, line)


@contextmanager
def holding_back_signals() -> Generator[None]:
    """A process started here ignores Ctrl-C, which a terminal sends to all processes: this process stops it instead.

    Signals to this process are held back until the new process has been recorded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: late.append(number))
    block = getattr(signal, "pthread_sigmask", None)
    mask = None if block is None else block(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for number in late:
            signal.raise_signal(number)
        if block is not None:
            block(signal.SIG_SETMASK, mask)


def _work(run: ParallelRun, line: int, threads: int, pipe: Connection, lock: Any) -> None:
    """One run, in its own process."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    # An exception instead of a sudden end, so that a file that is being written is removed and not left half there.
    signal.signal(signal.SIGTERM, _stop)
    tqdm.set_lock(lock)
    torch.set_num_threads(threads)
    try:
        pipe.send(RunResult(run.function(*run.arguments, line=line)))
    except KeyboardInterrupt:
        pipe.close()
        # If a process other than the parent stopped this one, the parent learns of it here.
        sys.exit(128 + signal.SIGTERM)
    except Exception as error:
        pipe.send(_failure(error))


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def die_with_parent() -> None:
    """Wait until the process that started this one has ended, and then end this one at once; for a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _result(worker: _Worker) -> RunResult:
    try:
        result: RunResult | None = worker.pipe.recv()
    except EOFError:
        result = None
    worker.process.join()
    if result is not None:
        return result
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"killed by signal {-code}"
    elif code == 128 + signal.SIGTERM:
        how = f"stopped by signal {int(signal.SIGTERM)}"
    else:
        how = f"exit code {code}"
    return RunResult(
        problem=f"its process ended before the work was done ({how}; a machine that runs out of memory does that). "
        f"{CONTINUE}"
    )


def _clear_bars(progress: bool | None) -> None:
    # The bars live in other processes, below the cursor; each draws itself again with its next step.
    if progress is not False and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[J")
        sys.stderr.flush()


def _failure(error: Exception) -> RunResult:
    """Why a run could not be finished, with the traceback if the cause may be a defect of ours."""
    not_kept = as_not_kept(error) if isinstance(error, OSError) else None
    if not_kept is not None:
        return RunResult(problem=str(not_kept))
    in_short = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return RunResult(problem=in_short, details=traceback.format_exc())
