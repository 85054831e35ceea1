"""What every engine does: it takes shards and gives back their states, in any order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.state import HarvestState

MOST_TRIES = 3
"""A shard whose worker dies so many times is the reason for it, and the harvest ends with an error."""


@dataclass(frozen=True)
class Done:
    """A finished shard."""

    index: int
    shard: str
    """Its id."""
    state: HarvestState


@dataclass
class EngineCall:
    """What an engine is given."""

    plan: HarvestPlan
    opened: OpenedModel | None
    """The model that was opened to make the plan. Engines whose workers open their own set it to None, so that its
    memory is free."""
    say: Callable[[str], None]
    """Is told of lost workers, in a sentence."""
    tokens_read: Callable[[int], object] = lambda tokens: None
    """Is told of tokens of shards that are not finished yet, by engines that can; of a negative number if a shard must
    be read again."""


class Engine(Protocol):
    """Who computes."""

    def run(self, call: EngineCall, shards: Iterator[Shard]) -> Generator[Done]:
        """Harvest the shards. Each one is taken from the iterator only when a worker is free for it.

        Closing the returned iterator ends all workers.

        Raises:
            WorkerError: if a worker fails, or loses the same shard again and again.
        """
        ...


class WorkerError(RuntimeError):
    """A worker failed in a way that will happen again."""


def failure(error: BaseException, *, opening: bool) -> str:
    """What went wrong in a worker, after "a worker failed"; with the traceback if it may be a fault of ours.

    Args:
        opening: whether it was opening the model, where the user can be at fault.
    """
    if opening and isinstance(error, KeyError):
        return f": {error.args[0] if error.args else error}"
    if opening and isinstance(error, (ValueError, FileNotFoundError)):
        return f": {error}"
    return ":\n" + "".join(traceback.format_exception(error))


def lost_too_often(shard: Shard) -> WorkerError:
    """The error about a shard whose workers all died."""
    first, last = shard.documents[0][0], shard.documents[-1][0]
    return WorkerError(
        f"the worker of shard {shard.index:,} (documents {first} to {last}) died {MOST_TRIES} times. If memory ran "
        "out, use fewer workers or smaller batches."
    )
