"""What computes in every engine: a model that harvests one shard after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.sites import located_source
from mechscope.neuroscope.state import HarvestState


class ShardWorker:
    """Harvests shards with a model.

    Args:
        plan: what to harvest.
        opened: the model and its sites; opened from the plan if not given.

    Raises:
        FileNotFoundError, KeyError, ValueError: see `OpenedModel.for_plan`.
    """

    def __init__(self, plan: HarvestPlan, opened: OpenedModel | None = None) -> None:
        self.plan = plan
        self.opened = opened or OpenedModel.for_plan(plan)

    def harvest(
        self, shard: Shard, tokens_read: Callable[[int], object] = lambda tokens: None
    ) -> HarvestState:
        """The state of one shard; `tokens_read` is told of its tokens as they are read."""
        return harvest_shard(self.opened.model, self.opened.sites, self.plan.settings, shard, tokens_read)


def located(plan: HarvestPlan) -> HarvestPlan:
    """A plan whose relative paths have become absolute, for workers that start in other folders."""
    model = Path(plan.model)
    return dataclasses.replace(
        plan,
        model=str(model.resolve()) if model.exists() else plan.model,
        sites=tuple(map(located_source, plan.sites)),
    )
