"""Harvest in several processes on this machine, each with a model of its own."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from mechscope.neuroscope.engines.engine import (
    MOST_TRIES,
    Done,
    EngineCall,
    WorkerError,
    failure,
    lost_too_often,
)
from mechscope.neuroscope.engines.worker import ShardWorker
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.state import HarvestState
from mechscope.runs.parallel_runs import count_cores, die_with_parent, holding_back_signals

AHEAD = 2
"""How many shards a worker has, so that it need not wait for the next one."""


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    shards: deque[Shard] = field(default_factory=deque[Shard])
    """What it has been given and has not finished, in order."""
    read: int = 0
    """How many tokens of the first of them it has read, as far as it has said."""


class Processes:
    """Several processes, which are started anew when they die.

    Args:
        workers: how many; None means one per core.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def run(self, call: EngineCall, shards: Iterator[Shard]) -> Generator[Done]:
        """Harvest the shards; those of a worker that dies are given to others.

        Raises:
            WorkerError: if a worker fails, or the workers of one shard die again and again.
        """
        call.opened = None
        most = self.workers or max(1, count_cores() // call.plan.settings.threads)
        context = multiprocessing.get_context("spawn")
        again: deque[Shard] = deque()
        tries: Counter[int] = Counter()
        workers: list[_Worker] = []
        try:
            while True:
                self._hand_out(workers, most, context, call.plan, again, shards)
                if not any(worker.shards for worker in workers):
                    break
                ready = wait([worker.pipe for worker in workers])
                for worker in [worker for worker in workers if worker.pipe in ready]:
                    answer = _answer(worker)
                    if isinstance(answer, int):
                        worker.read += answer
                        call.tokens_read(answer)
                    elif isinstance(answer, HarvestState):
                        shard, worker.read = worker.shards.popleft(), 0
                        yield Done(shard.index, shard.id, answer)
                    elif answer is not None:
                        raise WorkerError(answer)
                    else:
                        workers.remove(worker)
                        _take_back(worker, again, tries, call)
        finally:
            for worker in workers:
                worker.process.kill()
            for worker in workers:
                worker.process.join()
                worker.pipe.close()

    def _hand_out(
        self,
        workers: list[_Worker],
        most: int,
        context: Any,
        plan: HarvestPlan,
        again: deque[Shard],
        shards: Iterator[Shard],
    ) -> None:
        """Give every worker a shard, and then every worker another one for later."""
        for wanted in range(1, AHEAD + 1):
            for number in range(most):
                if number < len(workers) and len(workers[number].shards) >= wanted:
                    continue
                shard = again.popleft() if again else next(shards, None)
                if shard is None:
                    return
                if number == len(workers):
                    workers.append(_start(context, plan))
                workers[number].shards.append(shard)
                with suppress(OSError):  # It has died: that is noticed when its answer is read.
                    workers[number].pipe.send(shard)


def _start(context: Any, plan: HarvestPlan) -> _Worker:
    here, there = context.Pipe()
    with holding_back_signals():
        process = context.Process(target=_work, args=(plan, there), name="harvest", daemon=True)
        process.start()
    # Only the worker holds this end now: when it dies, the other end says so.
    there.close()
    return _Worker(process, here)


def _answer(worker: _Worker) -> HarvestState | int | str | None:
    """A state, or a number of tokens that were read, or what went wrong in a worker, or None if it has died."""
    try:
        found: bytes | int | str = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    return HarvestState.from_bytes(found) if isinstance(found, bytes) else found


def _take_back(worker: _Worker, again: deque[Shard], tries: Counter[int], call: EngineCall) -> None:
    worker.process.join()
    worker.pipe.close()
    call.tokens_read(-worker.read)
    if not worker.shards:
        return
    # The others were only waiting.
    shard = worker.shards[0]
    tries[shard.index] += 1
    if tries[shard.index] == MOST_TRIES:
        raise lost_too_often(shard)
    again.extendleft(reversed(worker.shards))
    code = worker.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    call.say(f"a worker {how}; its shard {shard.index:,} is harvested again.")


def _work(plan: HarvestPlan, pipe: Connection) -> None:
    """Answer every shard with its state, in a process of its own."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: SimpleQueue[Shard | None] = SimpleQueue()
    # Shards are received while others are computed: the driver must never wait to hand one out.
    threading.Thread(target=_receive, args=(pipe, waiting), daemon=True).start()
    worker = None
    try:
        worker = ShardWorker(plan)
        while (shard := waiting.get()) is not None:
            pipe.send(worker.harvest(shard, pipe.send).to_bytes())
    except Exception as error:
        pipe.send(f"a worker failed{failure(error, opening=worker is None)}")


def _receive(pipe: Connection, waiting: SimpleQueue[Shard | None]) -> None:
    try:
        while True:
            waiting.put(pipe.recv())
    except (EOFError, OSError):
        waiting.put(None)
