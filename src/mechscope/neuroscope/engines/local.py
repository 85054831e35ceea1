"""Harvest in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from mechscope.neuroscope.engines.engine import Done, EngineCall
from mechscope.neuroscope.engines.worker import ShardWorker
from mechscope.neuroscope.shards import Shard


class Local:
    """One shard after another, in this process."""

    def run(self, call: EngineCall, shards: Iterator[Shard]) -> Generator[Done]:
        """Harvest the shards in order."""
        worker = ShardWorker(call.plan, call.opened)
        for shard in shards:
            yield Done(shard.index, shard.id, worker.harvest(shard, call.tokens_read))
