"""Backup heads: heads that write more to the logits when others are knocked out."""

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
    """What knocking out some heads costs, and how the others compensate."""

    knocked_out: tuple[Head, ...]
    lost: float
    """Share of the logit difference that is lost without them."""
    before: Result
    """Direct contribution of each head to the logit difference, in logits (layer, head)."""
    after: Result
    """The same with the knocked-out heads replaced by their means."""

    def rise(self, heads: Sequence[Head]) -> float:
        """By how many logits the direct contribution of these heads grows, in total."""
        change = self.after.values.values - self.before.values.values
        return float(sum(change[head] for head in heads))


def knock_out_movers(runs: MeanAblation, heads: Sequence[Head]) -> Backups:
    """Replace heads by their means at all positions, and measure every head's direct contribution before and after."""
    active = runs.without_heads(heads)
    before = _direct(runs.model, runs)
    with runs.model.hooks(fwd_hooks=runs.fwd_hooks(active)):
        after = _direct(runs.model, runs)
    return Backups(tuple(heads), 1 - runs.share_of(active), before, after)


def _direct(model: HookedTransformer, runs: MeanAblation) -> Result:
    return direct_logit_attribution(model, runs.task, "head").contributions
