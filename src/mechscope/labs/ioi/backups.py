"""Backups: heads that speak up when others are silenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.labs.ioi.heads import Head
from mechscope.labs.ioi.mean_ablation import MeanAblation
from mechscope.results import Result
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Backups:
    """What a knock-out of some heads costs, and what others do about it."""

    knocked_out: tuple[Head, ...]
    lost: float
    """Share of the logit difference that goes with them."""
    before: Result
    """What each head adds to the logit difference directly, in logits (layer, head)."""
    after: Result
    """The same with those heads on their means."""

    def rise(self, heads: Sequence[Head]) -> float:
        """How many logits these heads together add more than before."""
        change = self.after.values.values - self.before.values.values
        return float(sum(change[head] for head in heads))


def knock_out_movers(runs: MeanAblation, heads: Sequence[Head]) -> Backups:
    """Silence heads everywhere and read what all heads add to the logits before and after."""
    alive = runs.without_heads(heads)
    before = _direct(runs.model, runs)
    with runs.model.hooks(fwd_hooks=runs.fwd_hooks(alive)):
        after = _direct(runs.model, runs)
    return Backups(tuple(heads), 1 - runs.share_of(alive), before, after)


def _direct(model: HookedTransformer, runs: MeanAblation) -> Result:
    return direct_logit_attribution(model, runs.task, "head").contributions
