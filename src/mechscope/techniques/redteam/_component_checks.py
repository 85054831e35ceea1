"""The checks of a set of components: needed, enough, better than chance, no passengers, no backups, specific.

What each says if there is nothing to measure (the floor) is in docs/redteam.md.
Sources: Wang et al. 2022 (faithfulness, completeness, minimality; backup heads); Shi et al. 2024 (nulls for circuits).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mechscope.tasks.task import Task
from mechscope.techniques.redteam._backup_check import BackupCheck
from mechscope.techniques.redteam._component_measures import (
    DESTROYED,
    ENOUGH,
    RETAINED,
    ComponentMeasures,
    beyond,
)
from mechscope.techniques.redteam._component_patches import RESAMPLED, Nodes
from mechscope.techniques.redteam._intervals import FLOOR, SIGNIFICANT, Estimate, p_value
from mechscope.techniques.redteam._running_checks import (
    Experiment,
    Finding,
    Step,
    clearly_beaten,
    not_run,
    percent,
    spread,
    too_few_draws,
)
from mechscope.techniques.redteam._transfer_checks import TransferChecks
from mechscope.techniques.redteam.evidence import Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.techniques._ablation_values import How

MOST = 0.5
"""Ablating the components that carry a behaviour destroys more than this share of it."""
PASSENGER = 0.02
"""A member that changes less than this share of the effect is a passenger."""
FEWEST_SETS = 4
"""Fewer other sets than this say little, even if there are no others."""
MORE_EXAMPLES = "Run it on more examples."
NO_GAP = "Clean and corrupted prompts do not differ clearly, so there is nothing to take shares of."
KEEP_MORE = (
    f"Add the components that patching ranks next, until the set keeps more than {FLOOR:.0%} by itself."
)


class ComponentChecks:
    """The checks of `Heads`."""

    def __init__(
        self,
        experiment: Experiment,
        claimed: Nodes,
        other_models: Sequence[HookedTransformer],
        other_tasks: Sequence[Task],
    ) -> None:
        self.experiment, self.claimed = experiment, claimed
        self.measures = ComponentMeasures(experiment, claimed)
        self.patches = self.measures.patches
        self.backup = BackupCheck(self.measures)
        self.transfer = TransferChecks(self.measures, other_models, other_tasks)

    @cached_property
    def gap(self) -> Estimate:
        """Clean minus corrupted."""
        return self.experiment.bootstrap.mean(self.patches.clean - self.patches.corrupted)

    @property
    def premise_fails(self) -> str:
        """Why nothing can be measured: the two runs do not differ clearly."""
        # Some metrics are lower on clean prompts (a divergence), so a difference in either direction counts.
        return "" if self.gap.low * self.gap.high > 0 else NO_GAP

    def first_pass(self) -> float:
        """Keep the claimed set alone, and nothing."""
        claimed = self.claimed
        _ = self.measures.kept
        return self.patches.full_passes([self.patches.without(nodes) for nodes in (claimed, ())])

    def steps(self) -> list[Step]:
        """The checks in order."""
        members, everything = len(self.claimed), tuple(self.patches.everything)
        random, matched = self._random_sets[0], self._matched_sets[0]
        work, transfer = self._work, self.transfer
        one_by_one = work([(node,) for node in everything])
        return [
            Step(
                "something to explain",
                "Does the model show the behaviour on clean prompts and not on corrupted ones?",
                self.something,
                "Use prompts on which the model is right, or a corruption that removes the reason for the answer.",
                2,
            ),
            Step(
                "needed (corrupted values)",
                "Does the behaviour disappear if these components take the corrupted run's values?",
                lambda: self.needed(None),
                MORE_EXAMPLES,
                1,
                work([self.claimed]),
            ),
            Step(
                "needed (mean)",
                "Does it disappear if they take their mean over the corrupted prompts?",
                lambda: self.needed("mean"),
                MORE_EXAMPLES,
                2,
                work([self.claimed, everything]),
            ),
            Step(
                "needed (resampled)",
                "Does it disappear if they take their values on other corrupted prompts?",
                lambda: self.needed("resample"),
                MORE_EXAMPLES,
                2 * RESAMPLED,
                RESAMPLED * work([self.claimed, everything]),
            ),
            Step(
                "enough",
                "Does the behaviour stay if all other components take the corrupted run's values?",
                self.enough,
                f"{MORE_EXAMPLES[:-1]}, or add the components that patching ranks next.",
                0,
            ),
            Step(
                "beats random components",
                "Do equally many other components, in any layers, carry as much when kept alone?",
                lambda: self.compare(matched=False),
                "Raise n_null.",
                len(random),
                work([self.patches.without(nodes) for nodes in random]),
            ),
            Step(
                "beats layer-matched components",
                "Do equally many other components of the same layers carry as much when kept alone?",
                lambda: self.compare(matched=True),
                "Raise n_null, or claim fewer components per layer, so that others are left to compare with.",
                len(matched),
                work([self.patches.without(nodes) for nodes in matched]),
            ),
            Step(
                "every member is needed",
                "Does leaving out any one member of the kept set cost something?",
                self.members,
                MORE_EXAMPLES,
                2 * members,
                work([*map(self.patches.without, self._without_one()), *((one,) for one in self.claimed)])
                if members > 1
                else 0,
            ),
            Step(
                "no backup takes over",
                "Once these are ablated, does another component take over their work?",
                self.backup.finding,
                MORE_EXAMPLES,
                self.backup.expected,
                work(self.backup.interventions) * self.backup.share if self.backup.outside else 0,
            ),
            Step(
                "specific to this task",
                "Do other tasks survive the ablation?",
                transfer.specific,
                "Give other_tasks=[…]: prompts on which the same model does something else.",
                3 * max(1, len(transfer.other_tasks)),
                3 * len(transfer.other_tasks),
            ),
            Step(
                "holds in other models",
                "Does the best set of this size in another model carry as much there?",
                transfer.elsewhere,
                "Give other_models=[…]: the same shape trained from other seeds.",
                (len(everything) + 5) * max(1, len(transfer.other_models)),
                (one_by_one + 4) * len(transfer.other_models),
            ),
        ]

    def something(self) -> Finding:
        patches, bootstrap, gap = self.patches, self.experiment.bootstrap, self.gap
        self.experiment.passes += 2
        clean, corrupted = bootstrap.mean(patches.clean), bootstrap.mean(patches.corrupted)
        reason = f"Clean and corrupted differ by {gap.value:.3g} ({gap.low:.3g} to {gap.high:.3g})."
        verdict: Verdict = "inconclusive" if self.premise_fails else "supports"
        unit = self.experiment.task.metric.unit
        return Finding(verdict, reason, clean, unit, corrupted, "corrupted prompts")

    def needed(self, how: How | None) -> Finding:
        patches, bootstrap, measures = self.patches, self.experiment.bootstrap, self.measures
        if how is None:
            effect, unit = measures.destroyed, DESTROYED
        else:
            sets = [self.claimed, tuple(patches.everything)]
            found = measures.counted(patches.ablated(sets, how, self.experiment.seed))
            # A mean does not favour the wrong answer either, so the loss is compared with ablating everything.
            lost = bootstrap.share(found[1], patches.clean, patches.corrupted)
            if lost.low <= FLOOR:
                return Finding(
                    "inconclusive",
                    "Ablating every component this way does little, so there is nothing to compare with.",
                    lost,
                    DESTROYED,
                )
            effect, unit = (
                bootstrap.share(found[0], patches.clean, found[1]),
                f"{DESTROYED} by ablating everything this way",
            )
        verdict = beyond(effect, MOST)
        words = {"supports": "Most of it goes", "undermines": "Most of it stays"}.get(
            verdict, "It is near one half"
        )
        return Finding(verdict, f"{words}: {percent(effect.value)} is destroyed.", effect, unit)

    def enough(self) -> Finding:
        claimed, nothing = (
            self.patches.retained(each, self.experiment.bootstrap) for each in self.measures.kept
        )
        verdict = beyond(claimed, ENOUGH)
        reason = f"{percent(claimed.value)} stays; with no component kept, {percent(nothing.value)}."
        if verdict == "supports" and not self.measures.keeps_something:
            verdict = "inconclusive"
            reason += f" The set itself adds no more than {FLOOR:.0%}, so it says little."
        if self.measures.kinds == {"head"} and not self.experiment.model.cfg.attn_only:
            reason += " MLPs compute on what they receive, because the claim is about heads."
        return Finding(verdict, reason, claimed, RETAINED, nothing, "nothing kept")

    def compare(self, matched: bool) -> Finding:
        sets, complete = self._matched_sets if matched else self._random_sets
        where = "in the same layers" if matched else "anywhere"
        if not sets:
            return not_run(
                f"There are fewer than {len(self.claimed)} other components {where} to compare with.",
                possible=False,
            )
        patches, measures = self.patches, self.measures
        found = measures.counted(patches.kept(sets))
        measured = patches.retained(measures.kept[0], self.experiment.bootstrap)
        claimed, nothing = (1 - patches.share(measures.kept)).tolist()
        shares = (1 - patches.share(found)).double().cpu().numpy()
        p = p_value(claimed, shares)
        beaten = float((shares < claimed - 1e-9).mean())
        best, null = sets[int(shares.argmax())], spread(shares)
        reason = (
            f"Better than {percent(beaten)} of {'all' if complete else 'the'} {len(sets)} sets of {len(self.claimed)} "
            f"others {where}; the best of them ({', '.join(map(str, best))}) keeps {percent(float(shares.max()))}."
        )
        # If all other sets were tried, nothing was sampled, and beating every one of them is the best possible result.
        beats_all = complete and len(sets) >= FEWEST_SETS and measured.low > float(shares.max())
        verdict: Verdict = "inconclusive"
        advice = ""
        few = "" if complete else too_few_draws(len(sets))
        if not measures.keeps_something:
            reason += f" {measures.floor}."
            advice = KEEP_MORE
            if not clearly_beaten(shares - nothing):
                reason += " Hardly any other set keeps more, so there is nothing to compare."
            elif few:
                reason += few
            else:
                verdict = "undermines"
        elif few:
            reason += few
        elif p <= SIGNIFICANT or beats_all:
            verdict = "supports"
        elif beaten < 1 - 2 * SIGNIFICANT:
            verdict = "undermines"
        kind = "layer-matched sets" if matched else "random sets"
        details = {"smallest possible p": 1 / (len(sets) + 1)}
        return Finding(verdict, reason, measured, RETAINED, null, kind, p, details=details, advice=advice)

    def members(self) -> Finding:
        if len(self.claimed) == 1:
            return not_run("There is only one member; `enough` and `needed` cover it.", possible=False)
        patches, bootstrap, measures = self.patches, self.experiment.bootstrap, self.measures
        left_out = measures.counted(patches.kept(self._without_one()))
        alone = measures.counted(patches.ablated([(one,) for one in self.claimed]))
        drops = [patches.destroyed(each - measures.kept[0] + patches.clean, bootstrap) for each in left_out]
        ablated = [patches.destroyed(each, bootstrap) for each in alone]
        # A member counts if it is missed in either way: in the kept set, or in the whole model.
        best = [max(pair, key=lambda one: one.value) for pair in zip(drops, ablated, strict=True)]
        smallest = min(range(len(best)), key=lambda number: best[number].value)
        name, effect = self.claimed[smallest], best[smallest]
        details = {
            str(node): {"left out of the kept set": drop.value, "ablated alone": one.value}
            for node, drop, one in zip(self.claimed, drops, ablated, strict=True)
        }
        verdict: Verdict = "inconclusive"
        words, advice = "the smallest", ""
        if effect.low > PASSENGER:
            verdict = "supports"
        elif effect.high < PASSENGER and measures.keeps_something:
            verdict = "undermines"
            words = "a passenger, or another member does the same work"
            if effect.high < -PASSENGER:
                words = "it works against the behaviour"
        elif effect.high < PASSENGER:
            words = f"ablated alone, {percent(ablated[smallest].value, 1)}"
        reason = f"{name} changes {percent(effect.value, 1)} ({words})."
        if verdict == "inconclusive" and not measures.keeps_something:
            reason += f" {measures.floor}, so leaving out a member cannot be seen to cost anything."
            advice = KEEP_MORE
        bound = Estimate(PASSENGER, PASSENGER, PASSENGER)
        return Finding(
            verdict,
            reason,
            effect,
            "share of the effect",
            bound,
            "a passenger",
            details={"members": details},
            advice=advice,
        )

    @cached_property
    def _random_sets(self) -> tuple[list[Nodes], bool]:
        experiment = self.experiment
        return self.patches.others(self.claimed, False, experiment.n_null, experiment.seed)

    @cached_property
    def _matched_sets(self) -> tuple[list[Nodes], bool]:
        experiment = self.experiment
        return self.patches.others(self.claimed, True, experiment.n_null, experiment.seed)

    def _without_one(self) -> list[Nodes]:
        return [tuple(node for node in self.claimed if node is not one) for one in self.claimed]

    def _work(self, ablated: Sequence[Nodes]) -> float:
        """How many full passes it amounts to to ablate each set; not computed if it would not be shown."""
        experiment = self.experiment
        return self.patches.full_passes(ablated) if experiment.progress and not self.premise_fails else 0.0
