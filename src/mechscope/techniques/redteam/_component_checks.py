"""The checks of a set of components: needed, enough, better than chance, no passengers, no backups, specific.

Sources: Wang et al. 2022 (faithfulness, completeness, minimality; backup heads); Shi et al. 2024 (nulls for circuits).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from mechscope.model.model_name import model_name
from mechscope.tasks.task import Task
from mechscope.techniques.redteam._component_patches import ComponentPatches, Nodes
from mechscope.techniques.redteam._intervals import SIGNIFICANT, Estimate, p_value
from mechscope.techniques.redteam._running_checks import Experiment, Finding, Step, not_run, percent, spread
from mechscope.techniques.redteam.evidence import Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.techniques._ablation_values import How

MOST = 0.5
"""Ablating the components that carry a behaviour destroys more than this share of it."""
ENOUGH = 0.75
"""A set that is enough for a behaviour retains more than this share of it."""
PASSENGER = 0.02
"""A member that changes less than this share of the effect is a passenger."""
FEWEST_SETS = 4
"""Fewer other sets than this say little, even if there are no others."""
LOST = 0.1
"""If ablating everything destroys less than this share, shares of that loss mean nothing."""
BACKUP = 0.1
"""A component outside the set that takes over more than this share is a backup."""
DESTROYED, RETAINED = "share of the effect destroyed", "share of the effect retained"


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
        self.kinds = {node.kind for node in claimed}
        self.patches = self._patches(experiment.model, experiment.task)
        # Tasks and models that do not fit raise an error here, before any check runs.
        self.other_tasks = [(task.name, self._patches(experiment.model, task)) for task in other_tasks]
        names = [f"{number}: {model_name(model)}" for number, model in enumerate(other_models)]
        self.other_models = dict(zip(names, map(self._if_shown, other_models), strict=True))
        self.names = ", ".join(str(node) for node in claimed)

    def _patches(self, model: HookedTransformer, task: Task) -> ComponentPatches:
        return ComponentPatches(model, task, self.kinds, self.experiment.progress)

    def _if_shown(self, model: HookedTransformer) -> ComponentPatches | None:
        """Patches in another model; None if that model does not show the behaviour."""
        baselines = self.experiment.task.baselines(model)
        gap = self.experiment.bootstrap.mean(baselines.clean - baselines.corrupted)
        own = self.patches.run.baselines.difference
        shown = gap.low * gap.high > 0 and gap.value * own > 0 and abs(gap.value) > LOST * abs(own)
        return self._patches(model, self.experiment.task) if shown else None

    def steps(self) -> list[Step]:
        """The checks in order."""
        n, members = self.experiment.n_null, len(self.claimed)
        outside = len(self.patches.everything) - members
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
                "Run it on more examples.",
                1,
            ),
            Step(
                "needed (mean)",
                "Does it disappear if they take their mean over the corrupted prompts?",
                lambda: self.needed("mean"),
                "Run it on more examples.",
                1,
            ),
            Step(
                "needed (resampled)",
                "Does it disappear if they take their values on other corrupted prompts?",
                lambda: self.needed("resample"),
                "Run it on more examples.",
                5,
            ),
            Step(
                "enough",
                "Does the behaviour stay if all other components take the corrupted run's values?",
                self.enough,
                "Run it on more examples, or add the components that patching ranks next.",
                1,
            ),
            Step(
                "beats random components",
                "Do equally many other components, in any layers, carry as much when kept alone?",
                lambda: self.compare(matched=False),
                "Raise n_null.",
                n,
            ),
            Step(
                "beats layer-matched components",
                "Do equally many other components of the same layers carry as much when kept alone?",
                lambda: self.compare(matched=True),
                "Raise n_null, or claim fewer components per layer, so that others are left to compare with.",
                n,
            ),
            Step(
                "every member is needed",
                "Does leaving out any one member of the kept set cost something?",
                self.members,
                "Run it on more examples.",
                2 * members,
            ),
            Step(
                "no backup takes over",
                "Once these are ablated, does another component take over their work?",
                self.backup,
                "Run it on more examples.",
                2 * outside + 1,
            ),
            Step(
                "specific to this task",
                "Do other tasks survive the ablation?",
                self.specific,
                "Give other_tasks=[…]: prompts on which the same model does something else.",
                3,
            ),
            Step(
                "holds in other models",
                "Does the best set of this size in another model carry as much there?",
                self.elsewhere,
                "Give other_models=[…]: the same shape trained from other seeds.",
                len(self.patches.everything) + 4,
            ),
        ]

    def something(self) -> Finding:
        patches, bootstrap = self.patches, self.experiment.bootstrap
        self.experiment.passes += 2
        clean, corrupted = bootstrap.mean(patches.clean), bootstrap.mean(patches.corrupted)
        gap = bootstrap.mean(patches.clean - patches.corrupted)
        # Some metrics are lower on clean prompts (a divergence), so a gap in either direction counts.
        clear = gap.low * gap.high > 0
        reason = f"Clean and corrupted differ by {gap.value:.3g} ({gap.low:.3g} to {gap.high:.3g})."
        unit = self.experiment.task.metric.unit
        return Finding(
            "supports" if clear else "undermines", reason, clean, unit, corrupted, "corrupted prompts"
        )

    def needed(self, how: How | None) -> Finding:
        patches, bootstrap = self.patches, self.experiment.bootstrap
        sets = [self.claimed] if how is None else [self.claimed, tuple(patches.everything)]
        found = self._counted(patches.ablated(sets, how, self.experiment.seed))
        if how is None:
            effect, unit = patches.destroyed(found[0], bootstrap), DESTROYED
        else:
            # A mean does not favour the wrong answer either, so the loss is compared with ablating everything.
            lost = bootstrap.share(found[1], patches.clean, patches.corrupted)
            if lost.low <= LOST:
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
        verdict = _beyond(effect, MOST)
        words = {"supports": "Most of it goes", "undermines": "Most of it stays"}.get(
            verdict, "It is near one half"
        )
        return Finding(verdict, f"{words}: {percent(effect.value)} is destroyed.", effect, unit)

    def enough(self) -> Finding:
        found = self._counted(self.patches.kept([self.claimed, ()]))
        effect = self.patches.retained(found[0], self.experiment.bootstrap)
        nothing = self.patches.retained(found[1], self.experiment.bootstrap)
        verdict = _beyond(effect, ENOUGH)
        if verdict == "supports" and effect.low <= nothing.high:
            verdict = "undermines"
        reason = f"{percent(effect.value)} stays; with no component kept, {percent(nothing.value)}."
        if self.kinds == {"head"} and not self.experiment.model.cfg.attn_only:
            reason += " MLPs compute on what they receive, because the claim is about heads."
        return Finding(verdict, reason, effect, RETAINED, nothing, "nothing kept")

    def compare(self, matched: bool) -> Finding:
        sets, complete = self.patches.others(
            self.claimed, matched, self.experiment.n_null, self.experiment.seed
        )
        where = "in the same layers" if matched else "anywhere"
        if not sets:
            return not_run(
                f"There are fewer than {len(self.claimed)} other components {where} to compare with.",
                possible=False,
            )
        found = self._counted(self.patches.kept([self.claimed, *sets]))
        measured = self.patches.retained(found[0], self.experiment.bootstrap)
        shares = (1 - self.patches.share(found)).double().cpu().numpy()
        p = p_value(float(shares[0]), shares[1:])
        beaten = float((shares[1:] < shares[0] - 1e-9).mean())
        best = sets[int(shares[1:].argmax())]
        reason = (
            f"Better than {percent(beaten)} of {'all' if complete else 'the'} {len(sets)} sets of {len(self.claimed)} "
            f"others {where}; the best of them ({', '.join(map(str, best))}) keeps {percent(float(shares[1:].max()))}."
        )
        # If all other sets were tried, nothing was sampled, and beating every one of them is the best possible result.
        beats_all = complete and len(sets) >= FEWEST_SETS and measured.low > float(shares[1:].max())
        verdict: Verdict = "inconclusive"
        if p <= SIGNIFICANT or beats_all:
            verdict = "supports"
        elif beaten < 1 - 2 * SIGNIFICANT:
            verdict = "undermines"
        kind = "layer-matched sets" if matched else "random sets"
        return Finding(verdict, reason, measured, RETAINED, spread(shares[1:]), kind, p)

    def members(self) -> Finding:
        if len(self.claimed) == 1:
            return not_run("There is only one member; `enough` and `needed` cover it.", possible=False)
        without = [tuple(node for node in self.claimed if node is not one) for one in self.claimed]
        kept = self._counted(self.patches.kept([self.claimed, *without]))
        alone = self._counted(self.patches.ablated([(one,) for one in self.claimed]))
        patches, bootstrap = self.patches, self.experiment.bootstrap
        drops = [patches.destroyed(each - kept[0] + patches.clean, bootstrap) for each in kept[1:]]
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
        if effect.low > PASSENGER:
            verdict = "supports"
        elif effect.high < PASSENGER:
            verdict = "undermines"
        words = (
            "a passenger, or another member does the same work" if verdict == "undermines" else "the smallest"
        )
        reason = f"{name} changes {effect.value:.1%} ({words})."
        unit = "share of the effect"
        return Finding(verdict, reason, effect, unit, Estimate(PASSENGER, PASSENGER, PASSENGER), "a passenger",
                       details={"members": details})  # fmt: skip

    def backup(self) -> Finding:
        outside = [node for node in self.patches.everything if node not in self.claimed]
        half = self.experiment.task.n_examples // 2
        if not outside:
            return not_run("There is no component outside of the claim.", possible=False)
        joint = self._counted(
            self.patches.ablated([self.claimed, *((*self.claimed, one) for one in outside)])
        )
        alone = self._counted(self.patches.ablated([(one,) for one in outside]))
        # How much more each outside component does after the ablation than before.
        change = (alone - self.patches.clean) - (joint[1:] - joint[0])
        gap = self.patches.clean.mean() - self.patches.corrupted.mean()
        # The strongest is chosen on one half and measured on the other, so that the choice does not inflate it.
        chosen = int((change[:, :half].mean(1) / gap).argmax())
        rest = slice(half, None)
        zero = torch.zeros_like(change[chosen, rest])
        effect = self.experiment.bootstrap.share(
            change[chosen, rest], zero, (self.patches.clean - self.patches.corrupted)[rest]
        )
        verdict: Verdict = "inconclusive"
        if effect.high < BACKUP:
            verdict = "supports"
        elif effect.low > BACKUP:
            verdict = "undermines"
        reason = f"After the ablation {outside[chosen]} does {percent(effect.value)} more than before."
        bound = Estimate(BACKUP, BACKUP, BACKUP)
        return Finding(
            verdict, reason, effect, "share of the effect taken over", bound, "the bound for a backup"
        )

    def specific(self) -> Finding:
        if not self.other_tasks:
            return not_run("No other tasks were given.")
        own = self.patches.destroyed(
            self._counted(self.patches.ablated([self.claimed]))[0], self.experiment.bootstrap
        )
        effects: dict[str, Estimate] = {}
        for name, patches in self.other_tasks:
            metric = patches.ablated([self.claimed])[0]
            self.experiment.passes += patches.passes
            effects[name] = patches.destroyed(metric, self.experiment.bootstrap)
        name, worst = max(effects.items(), key=lambda item: item[1].value)
        verdict: Verdict = "inconclusive"
        if worst.high < own.low / 2:
            verdict = "supports"
        elif worst.high >= own.low and worst.value > own.value / 2:
            verdict = "undermines"
        reason = (
            f"The ablation destroys {percent(worst.value)} of {name!r} and {percent(own.value)} of this task."
        )
        details = {"by task": {each: effect.value for each, effect in effects.items()}}
        # The claim is that its own task suffers more than any other.
        return Finding(verdict, reason, own, DESTROYED, worst, f"the task {name!r}", details=details)

    def elsewhere(self) -> Finding:
        if not self.other_models:
            return not_run("No other models were given.")
        found: dict[str, Estimate] = {}
        chosen_there: dict[str, list[str]] = {}
        for name, patches in self.other_models.items():
            if patches is None:
                continue
            half = self.experiment.task.n_examples // 2
            scores = patches.share(patches.ablated([(node,) for node in patches.everything])[:, :half])
            best = tuple(
                patches.everything[int(at)] for at in scores.argsort(descending=True)[: len(self.claimed)]
            )
            kept = patches.kept([best])[0][half:]
            self.experiment.passes += patches.passes
            chosen_there[name] = [str(node) for node in best]
            found[name] = self.experiment.bootstrap.share(
                kept, patches.corrupted[half:], patches.clean[half:]
            )
        silent = [name for name, patches in self.other_models.items() if patches is None]
        without = (
            f" Not tested, because they do not show the behaviour: {', '.join(silent)}." if silent else ""
        )
        if not found:
            return Finding("inconclusive", f"No other model shows the behaviour.{without}")
        name, worst = min(found.items(), key=lambda item: item[1].value)
        verdict = _beyond(worst, ENOUGH)
        best_there = ", ".join(chosen_there[name])
        reason = f"The worst is model {name}, where {best_there} keep {percent(worst.value)}.{without}"
        details = {"by model": {each: effect.value for each, effect in found.items()}, "chosen": chosen_there}
        return Finding(verdict, reason, worst, RETAINED, details=details)

    def _counted(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, and add the passes that they took to the experiment's count."""
        self.experiment.passes += self.patches.passes - 2
        self.patches.passes = 2
        return values


def _beyond(effect: Estimate, bound: float) -> Verdict:
    if effect.low > bound:
        return "supports"
    return "undermines" if effect.high < bound else "inconclusive"
