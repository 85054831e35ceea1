"""Several steps at once: one process a step, the cores shared out, and no step lost because another one broke.

The models of these steps are small. A second thread hardly helps a training step of a few milliseconds, so two steps
on two cores with one thread each get done sooner than one after the other with two.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mechscope.labs.lab import LabRun
from mechscope.labs.registry import find_entry
from mechscope.labs.running import Preparation, prepare, run_in_held_folder
from mechscope.storage.files import as_not_kept
from mechscope.storage.folder_lock import hold_folder

STATUSES = ("pass", "fail", "not-run")


@dataclass(frozen=True)
class Finished:
    """What became of one step."""

    preparation: Preparation
    """What was to be done."""
    seconds: float = 0.0
    """Time that the work took."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Verdict → how many claims; empty where the step could not be finished."""
    unproven: tuple[tuple[str, str, str], ...] = ()
    """(verdict, claim, reason) of each claim that did not pass."""
    report: Path | None = None
    """The page to open."""
    problem: str = ""
    """Why the step could not be finished, in a sentence."""
    details: str = ""
    """The traceback, where the reason is a defect of ours."""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end, whatever the verdicts."""
        return self.report is not None


@dataclass(frozen=True)
class _Task:
    """What a process needs to know; the lab itself is found again there, because functions do not travel."""

    package: str
    budget: str
    seed: int
    out: Path
    device: str
    progress: bool | None
    line: int
    label: str
    threads: int


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    preparation: Preparation
    line: int


def count_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_jobs(asked: int, steps: int, device: torch.device, cores: int | None = None) -> int:
    """How many steps run at once: as many as asked for, or with 0 one a core (one at a time on a GPU).

    Raises:
        ValueError: for a negative number.
    """
    if asked < 0:
        raise ValueError(f"--jobs is how many steps run at once, or 0 for one a core, not {asked}.")
    automatic = (count_cores() if cores is None else cores) if device.type == "cpu" else 1
    return max(1, min(steps, asked or automatic))


def run_steps(
    preparations: Sequence[Preparation], jobs: int = 1, progress: bool | None = False
) -> Generator[Finished]:
    """Run prepared steps, `jobs` at once, and give each as it is done.

    One step's failure is part of what is given, and the others go on. With one job the work is done in this
    process, with more each step has a process of its own and an equal share of the cores. No other process can write
    to the steps' folders meanwhile.

    Args:
        progress: bars: True, False, or None for "on a terminal".

    Raises:
        FolderInUseError: if another process uses one of their folders, before any work.
    """
    with ExitStack() as stack:
        # Check all steps first: nobody should find out after an hour that the second one cannot run.
        for preparation in preparations:
            stack.enter_context(hold_folder(preparation.folder))
        held = stack.pop_all()
    return _run_held(held, preparations, jobs, progress)


def _run_held(
    held: ExitStack, preparations: Sequence[Preparation], jobs: int, progress: bool | None
) -> Generator[Finished]:
    with held:
        if jobs == 1:
            for preparation in preparations:
                yield _run_here(preparation, progress)
        else:
            yield from _run_in_processes(preparations, jobs, progress)


def _run_here(preparation: Preparation, progress: bool | None) -> Finished:
    try:
        return Finished(preparation, **_told(run_in_held_folder(preparation, progress)))
    except Exception as error:
        return Finished(preparation, **_why(error))


def _run_in_processes(
    preparations: Sequence[Preparation], jobs: int, progress: bool | None
) -> Generator[Finished]:
    # A fresh interpreter each: forking a process whose torch has threads is not safe.
    context = multiprocessing.get_context("spawn")
    lock = context.RLock()
    waiting = list(preparations)
    free_lines = list(range(jobs))
    working: list[_Worker] = []
    try:
        while waiting or working:
            while waiting and free_lines:
                with _starting():
                    working.append(_start(context, waiting.pop(0), free_lines.pop(0), jobs, progress, lock))
            ready = wait([worker.pipe for worker in working])
            for worker in [worker for worker in working if worker.pipe in ready]:
                working.remove(worker)
                free_lines.append(worker.line)
                finished = _result(worker)
                with lock:
                    _clear_bars(progress)
                    yield finished
    finally:
        # Only where this was interrupted: the processes were told as well, or are told now.
        for worker in working:
            worker.process.terminate()
        for worker in working:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _start(
    context: Any, preparation: Preparation, line: int, jobs: int, progress: bool | None, lock: Any
) -> _Worker:
    here, there = context.Pipe(duplex=False)
    task = _Task(
        package=find_entry(preparation.lab.slug).package,
        budget=preparation.budget,
        seed=preparation.seeds[0],
        out=preparation.folder.parent.parent,
        device=preparation.device.type,
        progress=progress,
        line=line,
        label=f"{preparation.lab.step} ",
        threads=max(1, count_cores() // jobs),
    )
    process = context.Process(target=_work, args=(task, there, lock), name=preparation.lab.slug)
    process.start()
    # Only the worker holds this end now: when it dies, the other end says so.
    there.close()
    return _Worker(process, here, preparation, line)


@contextmanager
def _starting() -> Generator[None]:
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


def _work(task: _Task, pipe: Connection, lock: Any) -> None:
    """One step, in its own process."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # An exception instead of a sudden end, so that a file that is being written is removed and not left half there.
    signal.signal(signal.SIGTERM, _stop)
    tqdm.set_lock(lock)
    torch.set_num_threads(task.threads)
    try:
        lab = importlib.import_module(task.package).LAB
        preparation = prepare(lab, task.budget, task.seed, task.out, task.device)  # type: ignore[arg-type]
        pipe.send(_told(run_in_held_folder(preparation, task.progress, task.line, task.label)))
    except KeyboardInterrupt:
        pipe.close()
        # If a process other than the parent stopped this one, the parent learns of it here.
        sys.exit(128 + signal.SIGTERM)
    except Exception as error:
        pipe.send(_why(error))


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _result(worker: _Worker) -> Finished:
    try:
        told = worker.pipe.recv()
    except EOFError:
        told = None
    worker.process.join()
    if told is not None:
        return Finished(worker.preparation, **told)
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"killed by signal {-code}"
    elif code == 128 + signal.SIGTERM:
        how = f"stopped by signal {int(signal.SIGTERM)}"
    else:
        how = f"exit code {code}"
    return Finished(
        worker.preparation,
        problem=f"its process ended before the work was done ({how}; a machine that runs out of memory does that). "
        "The same command goes on from the parts that were finished; --jobs 1 needs less memory.",
    )


def _told(run: LabRun) -> dict[str, Any]:
    return {
        "seconds": run.seconds,
        "counts": {status: run.count(status) for status in STATUSES},
        "unproven": tuple(
            (checked.status, checked.claim.id, checked.reason)
            for checked in run.claims
            if checked.status != "pass"
        ),
        "report": run.report,
    }


def _clear_bars(progress: bool | None) -> None:
    # The bars live in other processes, below the cursor; each draws itself again with its next step.
    if progress is not False and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[J")
        sys.stderr.flush()


def _why(error: Exception) -> dict[str, Any]:
    """Why a step could not be finished, with the traceback if the cause may be a defect of ours."""
    not_kept = as_not_kept(error) if isinstance(error, OSError) else None
    if not_kept is not None:
        return {"problem": str(not_kept)}
    in_short = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return {"problem": in_short, "details": traceback.format_exc()}
