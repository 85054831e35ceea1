"""Harvest on a Ray cluster: each actor has a model of its own, and gets the texts of its shards from the driver.

Nodes need mechscope and the model's files, but no shared file system.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mechscope.neuroscope.engines.engine import (
    MOST_TRIES,
    Done,
    EngineCall,
    WorkerError,
    failure,
    lost_too_often,
)
from mechscope.neuroscope.engines.worker import ShardWorker, located
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.state import HarvestState
from mechscope.runs.parallel_runs import count_cores

AHEAD = 2
"""How many shards an actor has, so that it need not wait for the next one."""
PATIENCE = 60.0
"""Seconds without any answer after which the user is told what the harvest waits for."""
MOST_LOST = 20
"""If so many actors die before they have opened the model, the next ones will die as well."""


class HarvestActor:
    """Harvests shards on a node. An ordinary class, which `Ray` turns into an actor.

    Args:
        plan: what to harvest.
    """

    def __init__(self, plan: HarvestPlan) -> None:
        self.plan = plan
        self.worker: ShardWorker | None = None

    def open(self) -> int:
        """Open the model; returns the id of the process.

        Raises:
            FileNotFoundError, KeyError, ValueError: see `OpenedModel.for_plan`.
        """
        self.worker = ShardWorker(self.plan)
        return os.getpid()

    def harvest(self, index: int, documents: tuple[tuple[str, str], ...]) -> bytes:
        """The state of a shard as the contents of a file."""
        assert self.worker is not None, "open() comes first"
        return self.worker.harvest(Shard(index, documents)).to_bytes()


@dataclass(eq=False)
class _Actor:
    handle: Any
    opening: Any
    """The reference to the answer of `open`; None after it has come."""
    shards: dict[Any, Shard] = field(default_factory=dict[Any, Shard])
    """Reference to an answer → the shard, in order."""


class Ray:
    """Actors on a Ray cluster. An actor that is lost is replaced, and its shards are harvested again.

    Args:
        workers: how many actors; None means as many as the cluster's cores allow.
        address: the cluster: "auto" for the one that this machine belongs to, "HOST:PORT", or "ray://HOST:PORT". None
            starts a cluster on this machine, which ends with the harvest.

    Raises:
        ImportError: if Ray is not installed; says how to install it.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.workers, self.address = workers, address
        self.ray = _import_ray()

    def run(self, call: EngineCall, shards: Iterator[Shard]) -> Generator[Done]:
        """Harvest the shards; those of an actor that is lost are given to others.

        Raises:
            ConnectionError: if there is no cluster at the address.
            WorkerError: if an actor fails, or the actors of one shard are lost again and again.
        """
        call.opened = None
        with _connected(self.ray, self.address, self.workers, call.plan.settings.threads):
            actors = _Actors(self.ray, self._number(call.plan), call)
            try:
                yield from actors.run(shards)
            finally:
                actors.end()

    def _number(self, plan: HarvestPlan) -> int:
        if self.workers:
            return self.workers
        resources = self.ray.cluster_resources()
        if plan.device == "cuda":
            return max(1, int(resources.get("GPU", 0)))
        return max(1, int(resources.get("CPU", 0)) // plan.settings.threads)


class _Actors:
    def __init__(self, ray: Any, most: int, call: EngineCall) -> None:
        self.ray, self.most, self.call = ray, most, call
        self.kind = ray.remote(
            num_cpus=call.plan.settings.threads, num_gpus=int(call.plan.device == "cuda"), max_restarts=0
        )(HarvestActor)
        self.plan = located(call.plan)
        self.actors: list[_Actor] = []
        self.again: deque[Shard] = deque()
        self.tries: Counter[int] = Counter()
        self.lost = 0

    def run(self, shards: Iterator[Shard]) -> Iterator[Done]:
        waiting = next(shards, None)
        while True:
            # One shard is always taken in advance, to know whether more actors are needed.
            while waiting is not None and (actor := self._free()) is not None:
                self._give(actor, waiting)
                waiting = self.again.popleft() if self.again else next(shards, None)
            if waiting is None and self.again:
                waiting = self.again.popleft()
                continue
            if waiting is None and not any(actor.shards for actor in self.actors):
                return
            while waiting is not None and len(self.actors) < self.most:
                self._start()
            yield from self._next_answers()

    def end(self) -> None:
        for actor in self.actors:
            self.ray.kill(actor.handle)

    def _start(self) -> None:
        handle = self.kind.remote(self.plan)
        self.actors.append(_Actor(handle, handle.open.remote()))

    def _free(self) -> _Actor | None:
        """The actor with the fewest shards that can have another one."""
        opened = [actor for actor in self.actors if actor.opening is None and len(actor.shards) < AHEAD]
        return min(opened, key=lambda actor: len(actor.shards), default=None)

    def _give(self, actor: _Actor, shard: Shard) -> None:
        actor.shards[actor.handle.harvest.remote(shard.index, shard.documents)] = shard

    def _next_answers(self) -> Iterator[Done]:
        """Wait for the next answers, and note which actors are open and which are lost."""
        of = {reference: actor for actor in self.actors for reference in actor.shards}
        of |= {actor.opening: actor for actor in self.actors if actor.opening is not None}
        ready, _ = self.ray.wait(list(of), num_returns=1, timeout=PATIENCE)
        if not ready:
            self._say_what_is_awaited()
        for reference in ready:
            actor = of[reference]
            try:
                answer = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                is_opening = reference == actor.opening
                raise WorkerError(
                    f"an actor failed{failure(error.cause or error, opening=is_opening)}"
                ) from error
            except self.ray.exceptions.RayError as error:
                self._replace(actor, error)
                continue
            if reference == actor.opening:
                actor.opening = None
            else:
                shard = actor.shards.pop(reference)
                yield Done(shard.index, shard.id, HarvestState.from_bytes(answer))

    def _replace(self, actor: _Actor, error: Exception) -> None:
        """Give up a lost actor; a new one is started when there is a shard for it."""
        self.actors.remove(actor)
        shards = list(actor.shards.values())
        self.again.extendleft(reversed(shards))
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not shards:
            self.lost += 1
            if self.lost == MOST_LOST:
                raise WorkerError(f"{MOST_LOST} actors were lost before they had opened the model: {reason}")
            return
        self.tries[shards[0].index] += 1
        if self.tries[shards[0].index] == MOST_TRIES:
            raise lost_too_often(shards[0])
        self.call.say(f"an actor was lost ({reason}); its shard {shards[0].index:,} is harvested again.")

    def _say_what_is_awaited(self) -> None:
        if all(actor.opening is not None for actor in self.actors):
            free = self.ray.available_resources()
            self.call.say(
                f"no actor has started yet: each needs {self.call.plan.settings.threads} CPUs, and "
                f"{free.get('CPU', 0):g} of the cluster's {self.ray.cluster_resources().get('CPU', 0):g} are free."
            )


def _import_ray() -> Any:
    # Nothing is reported to anybody, and GPUs stay visible to actors that reserve none.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ImportError("Ray is not installed: pip install 'mechscope[ray]' installs it.") from error


@contextmanager
def _connected(ray: Any, address: str | None, workers: int | None, threads: int) -> Generator[None]:
    """Connect to a cluster, or start one on this machine, and disconnect at the end."""
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise ConnectionError(
                f"there is no Ray cluster at {address!r} ({reason}). `ray start --head` starts one and prints its "
                "address."
            ) from error
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Ray puts sockets there, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=workers * threads if workers else count_cores(),
            include_dashboard=False,
            _temp_dir=folder,
            **quiet,
        )
        try:
            yield
        finally:
            ray.shutdown()
