"""Is a set of components specific to its task, and does a set of its size carry the behaviour in other models?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mechscope.model.model_name import model_name
from mechscope.tasks.task import Task
from mechscope.techniques.redteam._component_measures import (
    DESTROYED,
    ENOUGH,
    RETAINED,
    ComponentMeasures,
    beyond,
    gain,
)
from mechscope.techniques.redteam._component_patches import ComponentPatches
from mechscope.techniques.redteam._intervals import FLOOR, Estimate
from mechscope.techniques.redteam._running_checks import Finding, not_run, percent
from mechscope.techniques.redteam.evidence import Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class TransferChecks:
    """The checks of `Heads` on other tasks and in other models.

    Raises:
        ValueError: for tasks and models that do not fit, before any check runs.
    """

    def __init__(
        self,
        measures: ComponentMeasures,
        other_models: Sequence[HookedTransformer],
        other_tasks: Sequence[Task],
    ) -> None:
        self.measures = measures
        model, task = measures.experiment.model, measures.experiment.task
        self.other_tasks = [(each.name, self._if_shown(model, each)) for each in other_tasks]
        self.other_models = {
            f"{number}: {model_name(each)}": self._if_shown(each, task)
            for number, each in enumerate(other_models)
        }

    def _if_shown(self, model: HookedTransformer, task: Task) -> ComponentPatches | None:
        """Patches; None if that model does not show the behaviour, as clearly as ours if the task is the same."""
        experiment = self.measures.experiment
        baselines = task.baselines(model)
        gap = experiment.bootstrap.mean(baselines.clean - baselines.corrupted)
        shown = gap.low * gap.high > 0
        if task is experiment.task:
            own = self.measures.patches.run.baselines.difference
            shown = shown and gap.value * own > 0 and abs(gap.value) > FLOOR * abs(own)
        return self.measures.patches_of(model, task) if shown else None

    def specific(self) -> Finding:
        """Do other tasks survive the ablation?"""
        if not self.other_tasks:
            return not_run("No other tasks were given.")
        measures, bootstrap = self.measures, self.measures.experiment.bootstrap
        own = measures.destroyed
        effects: dict[str, Estimate] = {}
        for name, patches in self.other_tasks:
            if patches is None:
                continue
            metric = patches.ablated([measures.claimed])[0]
            measures.experiment.passes += patches.passes
            effects[name] = patches.destroyed(metric, bootstrap)
        silent = [repr(name) for name, patches in self.other_tasks if patches is None]
        without = f" Not tested, because the model does not do them: {', '.join(silent)}." if silent else ""
        if not effects:
            return Finding("inconclusive", f"The model does none of the other tasks.{without}")
        name, worst = max(effects.items(), key=lambda item: item[1].value)
        verdict: Verdict = "inconclusive"
        reason = (
            f"The ablation destroys {percent(worst.value)} of {name!r} and {percent(own.value)} of this task."
        )
        if own.low <= FLOOR and worst.low <= FLOOR:
            reason += f" Neither is clearly more than {FLOOR:.0%}, so there is no harm to compare."
        elif worst.high < own.low / 2:
            verdict = "supports"
        elif worst.high >= own.low and worst.value > own.value / 2:
            verdict = "undermines"
        details = {"by task": {each: effect.value for each, effect in effects.items()}}
        # The claim is that its own task suffers more than any other.
        return Finding(
            verdict, reason + without, own, DESTROYED, worst, f"the task {name!r}", details=details
        )

    def elsewhere(self) -> Finding:
        """Does the best set of this size in another model carry as much there?"""
        if not self.other_models:
            return not_run("No other models were given.")
        measures, experiment = self.measures, self.measures.experiment
        if not measures.keeps_something:
            return Finding(
                "inconclusive",
                f"{measures.floor}. There is nothing that another model could confirm.",
                possible=False,
            )
        found: dict[str, Estimate] = {}
        added: dict[str, Estimate] = {}
        chosen_there: dict[str, list[str]] = {}
        half = experiment.task.n_examples // 2
        for name, patches in self.other_models.items():
            if patches is None:
                continue
            scores = patches.share(patches.ablated([(node,) for node in patches.everything])[:, :half])
            best = tuple(
                patches.everything[int(at)] for at in scores.argsort(descending=True)[: len(measures.claimed)]
            )
            kept = patches.kept([best, ()])
            experiment.passes += patches.passes
            chosen_there[name] = [str(node) for node in best]
            found[name] = experiment.bootstrap.share(
                kept[0, half:], patches.corrupted[half:], patches.clean[half:]
            )
            added[name] = gain(experiment, patches, kept)
        silent = [name for name, patches in self.other_models.items() if patches is None]
        without = (
            f" Not tested, because they do not show the behaviour: {', '.join(silent)}." if silent else ""
        )
        if not found:
            return Finding("inconclusive", f"No other model shows the behaviour.{without}")
        name, worst = min(found.items(), key=lambda item: item[1].value)
        verdict = beyond(worst, ENOUGH)
        best_there = ", ".join(chosen_there[name])
        reason = f"The worst is model {name}, where {best_there} keep {percent(worst.value)}.{without}"
        vacuous = [each for each, one in added.items() if one.low <= FLOOR and found[each].low > ENOUGH]
        if verdict == "supports" and vacuous:
            verdict = "inconclusive"
            reason += f" Nearly as much stays with no component kept in {', '.join(vacuous)}."
        details = {"by model": {each: effect.value for each, effect in found.items()}, "chosen": chosen_there}
        return Finding(verdict, reason, worst, RETAINED, details=details)
