"""Once a set is ablated, does another component take over its work? (Wang et al. 2022; McGrath et al. 2023)"""

from __future__ import annotations

import torch

from mechscope.techniques.redteam._component_measures import ComponentMeasures
from mechscope.techniques.redteam._component_patches import ComponentPatches, Nodes
from mechscope.techniques.redteam._intervals import FLOOR, Estimate
from mechscope.techniques.redteam._running_checks import Finding, not_run, percent
from mechscope.techniques.redteam.evidence import Verdict

BACKUP = 0.1
"""A component outside the set that takes over more than this share is a backup."""


class BackupCheck:
    """Compare what each outside component does before and after the ablation.

    The strongest is chosen on the first half of the prompts, so only it is measured on the other half. This also keeps
    the choice from inflating the measurement.
    """

    def __init__(self, measures: ComponentMeasures) -> None:
        self.measures, self.patches = measures, measures.patches
        self.outside = [node for node in self.patches.everything if node not in measures.claimed]
        self.half = measures.experiment.task.n_examples // 2

    @property
    def expected(self) -> float:
        """Passes over all prompts: each outside component alone and with the claim, on half of them."""
        return (2 * len(self.outside) + 1) * self.share + 2

    @property
    def interventions(self) -> list[Nodes]:
        """The sets that are ablated on half of the prompts."""
        claimed = self.measures.claimed
        return [claimed, *(nodes for one in self.outside for nodes in ((one,), (*claimed, one)))]

    @property
    def share(self) -> float:
        """The share of the prompts in that half."""
        return self.half / self.measures.experiment.task.n_examples

    def finding(self) -> Finding:
        """Run the check."""
        measures, patches, experiment = self.measures, self.patches, self.measures.experiment
        if not self.outside:
            return not_run("There is no component outside of the claim.", possible=False)
        first = ComponentPatches(
            experiment.model,
            experiment.task.select(slice(0, self.half)),
            measures.kinds,
            lambda runs: experiment.advance(runs * self.share),
            allow_alike=True,
        )
        change = self._change(first.ablated(self.interventions), first.clean)
        experiment.passes += first.passes * self.share
        gap = patches.clean.mean() - patches.corrupted.mean()
        chosen = self.outside[int((change.mean(1) / gap).argmax())]
        found = measures.counted(patches.ablated([(chosen,), (*measures.claimed, chosen)]))
        rest = slice(self.half, None)
        moved = self._change(torch.stack([measures.ablated, *found]), patches.clean)[0, rest]
        effect = experiment.bootstrap.share(
            moved, torch.zeros_like(moved), (patches.clean - patches.corrupted)[rest]
        )
        return self._judge(effect, str(chosen))

    def _change(self, found: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """From metrics [1 + 2 outside, batch]: how much more each does after the ablation than before."""
        joint, alone, both = found[0], found[1::2], found[2::2]
        return (alone - clean) - (both - joint)

    def _judge(self, effect: Estimate, chosen: str) -> Finding:
        destroyed = self.measures.destroyed
        verdict: Verdict = "inconclusive"
        reason = f"After the ablation {chosen} does {percent(effect.value)} more than before."
        advice = ""
        if effect.low > BACKUP:
            verdict = "undermines"
            if destroyed.low > 1 - BACKUP:
                verdict = "supports"
                reason += f" But only {percent(1 - destroyed.value)} of the behaviour is left: nothing took over more."
        elif effect.high < BACKUP:
            verdict = "supports"
            if destroyed.low <= FLOOR:
                verdict = "inconclusive"
                reason += (
                    f" The ablation destroys {percent(destroyed.value, 1)}: there is little that another component "
                    "could take over."
                )
                advice = "Claim components whose ablation destroys more, or run it on more examples."
        bound = Estimate(BACKUP, BACKUP, BACKUP)
        return Finding(
            verdict,
            reason,
            effect,
            "share of the effect taken over",
            bound,
            "the bound for a backup",
            advice=advice,
        )
