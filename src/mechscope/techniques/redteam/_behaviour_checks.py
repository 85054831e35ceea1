"""The checks of a rule: does it predict the model's answers, does a simple baseline do as well, does it survive edits?

What each says if there is nothing to measure (the floor, and the ceiling where all answers are alike) is in
docs/redteam.md.
Sources: Elhage et al. 2021 and Olsson et al. 2022 for the baselines; Ribeiro et al. 2020 for edits that should, and
edits that should not, change the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from mechscope.model.model_name import model_name
from mechscope.tasks.task import Task
from mechscope.techniques.redteam._answers import (
    Respond,
    fit_baselines_to_prompts,
    fit_baselines_to_text,
    model_answers,
)
from mechscope.techniques.redteam._intervals import FEWEST_DRAWS, FLOOR, LEVEL, Estimate
from mechscope.techniques.redteam._prompt_edits import Edited, reorderings, swaps
from mechscope.techniques.redteam._running_checks import Experiment, Finding, Step, not_run, percent, spread
from mechscope.techniques.redteam.evidence import Verdict
from mechscope.techniques.redteam.hypotheses import Behaviour

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

ENOUGH = 0.75
"""A rule that agrees with the model less often than this does not describe it."""
SAME_RULE = 0.95
"""A baseline that answers like the hypothesis this often, edited prompts included, counts as the same rule."""
ROUNDS = 8
FEWEST_CELLS = 10
SHOWN = 5
UNIT = "agreement with the model"


class BehaviourChecks:
    """The checks of `Behaviour`."""

    def __init__(
        self,
        experiment: Experiment,
        hypothesis: Behaviour,
        training_tokens: torch.Tensor | None,
        other_models: Sequence[HookedTransformer],
        other_tasks: Sequence[Task],
        paraphrases: Sequence[Task],
    ) -> None:
        self.experiment, self.hypothesis, self.task = experiment, hypothesis, experiment.task
        self.other_models, self.other_tasks, self.paraphrases = other_models, other_tasks, paraphrases
        self._training_tokens = training_tokens
        self.fitted_on = (
            "the task's own prompts, by cross-validation" if training_tokens is None else "training_tokens"
        )
        self._model = model_answers(experiment.model, hypothesis)
        self._alike: set[str] = set()

    # Each of these is computed by the first check that uses it, and counted in the cost of that check.

    @cached_property
    def said(self) -> torch.Tensor:
        """The model's answers to the clean prompts."""
        return self.model(self.task, self.task.clean)

    @cached_property
    def predicted(self) -> torch.Tensor:
        """The rule's answers to the clean prompts."""
        return self.hypothesis.answers(self.task, self.task.clean)

    @cached_property
    def swapped(self) -> Edited:
        """Several copies of every prompt, each with one token replaced."""
        return swaps(self.task, ROUNDS, self.experiment.generator(1), lambda token: self._words([token]))

    @cached_property
    def said_swapped(self) -> torch.Tensor:
        """The model's answers to the swapped prompts."""
        return self.model(self.swapped.task, self.swapped.tokens)

    @cached_property
    def predicted_swapped(self) -> torch.Tensor:
        """The rule's answers to the swapped prompts."""
        return self.hypothesis.answers(self.swapped.task, self.swapped.tokens)

    @cached_property
    def baselines(self) -> dict[str, Respond]:
        """All baselines, fitted."""
        model, text = self.experiment.model, self._training_tokens
        if text is None:
            return fit_baselines_to_prompts(model, self.hypothesis, self.task)
        return fit_baselines_to_text(model, self.hypothesis, text)

    def model(self, task: Task, tokens: torch.Tensor) -> torch.Tensor:
        """The model's answers; counts the passes."""
        self.experiment.passes += len(tokens) / self.task.n_examples
        return self._model(task, tokens)

    premise_fails = ""
    """A rule describes whatever a model says, so nothing has to hold before it can be tested."""

    def first_pass(self) -> float:
        """The model's answers to the clean prompts."""
        _ = self.said
        return 1.0

    def steps(self) -> list[Step]:
        """The checks in order."""
        more = "Run it on more prompts."
        share = 1 / self.task.n_examples
        others = (
            sum(task.n_examples for task in tasks) * share for tasks in (self.paraphrases, self.other_tasks)
        )
        in_other_words, on_others = others
        return [
            Step(
                "the model does it",
                "Is the model right on clean prompts, and not as often on corrupted ones?",
                self.accuracy,
                "Take a model that shows the behaviour.",
                1,
            ),
            Step("agrees with the model", "Does the rule predict what the model says?", self.agreement, more, 0),
            Step("beats the baselines", "Does a simple baseline predict the model as often?", self.against_baselines,
                 "Give training_tokens=…, the text that the model was trained on.", ROUNDS),
            Step("swaps that matter", "If the rule predicts another answer after a swap, is that the model's answer?",
                 lambda: self.swap(matters=True), more, ROUNDS, 0),
            Step("swaps that do not matter", "If the rule predicts that a swap changes nothing, does the answer stay?",
                 lambda: self.swap(matters=False), more, ROUNDS, 0),
            Step("reorderings", "Does the rule hold when tokens change places?", self.reordered, more, ROUNDS),
            Step("paraphrases", "Does it hold on the worst template?", self.templates,
                 "Give paraphrase=…: the same task in other words (a Task, or several).", 1, in_other_words),
            Step("holds on other tasks", "Does the rule predict the model on other prompts?", self.tasks,
                 "Give other_tasks=[…]: other prompts about which the rule says something.", 1, on_others),
            Step("holds in other models", "Do other models follow it too?", self.models,
                 "Give other_models=[…]: the same shape trained from other seeds.", 1,
                 len(self.other_models)),
        ]  # fmt: skip

    def accuracy(self) -> Finding:
        right = self._right(self.said)
        wrong = self._right(self.model(self.task, self.task.corrupted))
        clean, corrupted = self.experiment.bootstrap.mean(right), self.experiment.bootstrap.mean(wrong)
        gap = self.experiment.bootstrap.mean(right - wrong)
        verdict: Verdict = "supports" if gap.low > 0 and clean.low > 0.5 else "inconclusive"
        if gap.high <= 0.02 or clean.high < 0.2:
            verdict = "undermines"
        reason = f"The model is right on {percent(clean.value)} of clean prompts."
        return Finding(verdict, reason, clean, "accuracy", corrupted, "corrupted prompts")

    def agreement(self) -> Finding:
        effect = self.experiment.bootstrap.mean(_agree(self.predicted, self.said))
        null = self._shuffled(self.predicted, self.said)
        reason = f"They agree on {percent(effect.value)}."
        verdict, reason = _unless_alike(_enough(effect), reason, effect, null)
        wrong = self._counter_examples(self.predicted, self.said, self.task.clean, None)
        details = {"counter-examples": wrong}
        return Finding(verdict, reason, effect, UNIT, null, "shuffled prompts", details=details)

    def _shuffled(self, predicted: torch.Tensor, said: torch.Tensor) -> Estimate:
        """How often the predictions for other prompts agree with the model: high if the answers are all alike."""
        generator = self.experiment.generator(2)
        # These draws cost no pass, so there are always enough of them.
        draws = [
            _agree(predicted[torch.randperm(len(said), generator=generator)], said)
            for _ in range(max(self.experiment.n_null, FEWEST_DRAWS))
        ]
        return spread(torch.stack([each[torch.isfinite(each)].mean() for each in draws]).numpy())

    def against_baselines(self) -> Finding:
        # Task prompts and edited ones together, because two different rules may coincide on the task prompts.
        own = torch.cat([self.predicted, self.predicted_swapped])
        said = torch.cat([self.said, self.said_swapped])
        rounds = ROUNDS + 1
        mine = _by_example(_agree(own, said), rounds)
        found: dict[str, Estimate] = {}
        on_task: dict[str, float] = {}
        alike: list[str] = []
        gaps: dict[str, Estimate] = {}
        for name, baseline in self.baselines.items():
            first = baseline(self.task, self.task.clean)
            there = torch.cat([first, baseline(self.swapped.task, self.swapped.tokens)])
            predicts = own >= 0
            if float((there == own)[predicts].double().mean()) >= SAME_RULE:
                alike.append(name)
                continue
            # Only where the rule makes a prediction, so that both are scored on the same answers.
            theirs = _by_example(
                _agree(torch.where(predicts, there, -1), said, silence_is_wrong=predicts), rounds
            )
            found[name], gaps[name] = (
                self.experiment.bootstrap.mean(theirs),
                self.experiment.bootstrap.mean(mine - theirs),
            )
            on_task[name] = float(_nanmean(_agree(first, self.said)))
        effect = self.experiment.bootstrap.mean(mine)
        if not found:
            return Finding(
                "inconclusive",
                f"Every baseline is the same rule as the hypothesis: {', '.join(alike)}.",
                effect,
                UNIT,
            )
        name = min(gaps, key=lambda each: gaps[each].value)
        gap = gaps[name]
        verdict: Verdict = (
            "supports" if gap.low > 0 else "undermines" if gap.value <= 0.01 else "inconclusive"
        )
        reason = (
            f"The best baseline, {name}, predicts {percent(found[name].value)} of the model's answers, the rule "
            f"{percent(effect.value)} (baselines are fitted to {self.fitted_on}; swapped prompts are included)."
        )
        if effect.low <= FLOOR and found[name].value <= FLOOR:
            verdict = "inconclusive"
            reason += " Neither says what the model says, so there is nothing to compare."
        if alike:
            reason += f" Not counted, because it is the same rule as the hypothesis: {', '.join(alike)}."
        details = {
            "task and swapped prompts": {each: one.value for each, one in found.items()},
            "task prompts alone": on_task,
            "same rule": alike,
        }
        return Finding(verdict, reason, effect, UNIT, found[name], f"the {name} baseline", details=details)

    def swap(self, matters: bool) -> Finding:
        before = self.predicted.repeat(ROUNDS, 1)
        after = self.predicted_swapped
        tested = (before >= 0) & (after >= 0) & ((after != before) if matters else (after == before))
        # A swap tests nothing if the rule was wrong before it.
        tested &= before == self.said.repeat(ROUNDS, 1)
        if int(tested.sum()) < FEWEST_CELLS:
            return not_run(
                f"Only {int(tested.sum())} swaps of this kind occurred where the rule was right before."
            )
        expected = torch.where(tested, after, -1)
        effect = self.experiment.bootstrap.mean(_by_example(_agree(expected, self.said_swapped), ROUNDS))
        verdict = _enough(effect)
        wrong = self._counter_examples(expected, self.said_swapped, self.swapped.tokens, self.swapped)
        details = {"answers tested": int(tested.sum()), "counter-examples": wrong}
        if not matters:
            reason = f"{percent(effect.value)} of {int(tested.sum())} answers stay."
            null = self._shuffled(self.said, self.said)
            verdict, reason = _unless_alike(verdict, reason, effect, null)
            return Finding(verdict, reason, effect, UNIT, null, "answers to other prompts", details=details)
        stay = torch.where(tested, before, -1)
        null = self.experiment.bootstrap.mean(_by_example(_agree(stay, self.said_swapped), ROUNDS))
        reason = f"{percent(effect.value)} of {int(tested.sum())} answers change as predicted."
        return Finding(verdict, reason, effect, UNIT, null, "the old answer stays", details=details)

    def reordered(self) -> Finding:
        edited = reorderings(self.task, ROUNDS, self.experiment.generator(3))
        said = self.model(edited.task, edited.tokens)
        predicted = self.hypothesis.answers(edited.task, edited.tokens)
        if int((predicted >= 0).sum()) < FEWEST_CELLS:
            return not_run("The rule makes no prediction on reordered prompts.")
        effect = self.experiment.bootstrap.mean(_by_example(_agree(predicted, said), ROUNDS))
        old = self.experiment.bootstrap.mean(_by_example(_agree(self.said.repeat(ROUNDS, 1), said), ROUNDS))
        wrong = self._counter_examples(predicted, said, edited.tokens, edited)
        reason = f"They agree on {percent(effect.value)} of reordered prompts."
        null = self._shuffled(predicted, said)
        verdict, reason = _unless_alike(_enough(effect), reason, effect, null)
        details = {"counter-examples": wrong}
        return Finding(verdict, reason, effect, UNIT, old, "the old answer stays", details=details)

    def templates(self) -> Finding:
        groups: dict[str, Estimate] = {}
        numbers = self.task.templates
        kinds = [] if numbers is None else numbers.unique().tolist()
        count = (len(kinds) if len(kinds) > 1 else 0) + len(self.paraphrases)
        if not count:
            return not_run("The task has one template, and no paraphrase was given.")
        # The worst of several is low by chance, so the intervals are widened (Bonferroni).
        level = 1 - (1 - LEVEL) / count
        if numbers is not None and len(kinds) > 1:
            agree = _agree(self.predicted, self.said)
            for number in kinds:
                groups[f"template {number}"] = self._mean(agree[numbers.cpu() == number], level)
        for number, task in enumerate(self.paraphrases):
            name = f"paraphrase {number}: {task.name}"
            groups[name] = self._on(name, task, self.experiment.model, level)
        return self._worst(groups, "template")

    def tasks(self) -> Finding:
        if not self.other_tasks:
            return not_run("No other tasks were given.")
        level = 1 - (1 - LEVEL) / len(self.other_tasks)
        model = self.experiment.model
        groups = {task.name: self._on(task.name, task, model, level) for task in self.other_tasks}
        return self._worst(groups, "task")

    def models(self) -> Finding:
        if not self.other_models:
            return not_run("No other models were given.")
        level = 1 - (1 - LEVEL) / len(self.other_models)
        names = [f"{number}: {model_name(model)}" for number, model in enumerate(self.other_models)]
        models = zip(names, self.other_models, strict=True)
        groups = {name: self._on(name, self.task, model, level) for name, model in models}
        return self._worst(groups, "model")

    def _worst(self, groups: dict[str, Estimate], what: str) -> Finding:
        measured = {name: one for name, one in groups.items() if one.value == one.value}
        if not measured:
            return not_run(f"The rule makes no prediction on any {what}.")
        name = min(measured, key=lambda each: measured[each].value)
        details = {f"by {what}": {each: one.value for each, one in groups.items()}}
        reason = f"The worst of {len(measured)}: {name}, {percent(measured[name].value)}."
        verdict = _enough(measured[name])
        alike = [each for each in measured if each in self._alike]
        if verdict == "supports" and alike:
            verdict = "inconclusive"
            reason += f" Agreement says nothing about {', '.join(alike)}, because the answers are all alike."
        bound = Estimate(ENOUGH, ENOUGH, ENOUGH)
        return Finding(verdict, reason, measured[name], UNIT, bound, "the bound", details=details)

    def _on(self, name: str, task: Task, model: HookedTransformer, level: float) -> Estimate:
        said = model_answers(model, self.hypothesis)(task, task.clean)
        self.experiment.passes += task.n_examples / self.task.n_examples
        predicted = self.hypothesis.answers(task, task.clean)
        effect = self._mean(_agree(predicted, said), level)
        if bool((predicted >= 0).any()) and effect.low <= self._shuffled(predicted, said).high:
            self._alike.add(name)
        return effect

    def _mean(self, values: torch.Tensor, level: float) -> Estimate:
        return self.experiment.bootstrap.mean(values, level)

    def _right(self, said: torch.Tensor) -> torch.Tensor:
        return (said[..., None] == self.task.answers.correct.cpu()).any(-1).double().mean(1)

    def _counter_examples(
        self, predicted: torch.Tensor, said: torch.Tensor, tokens: torch.Tensor, edited: Edited | None
    ) -> list[str]:
        """The first few answers on which rule and model differ, in words."""
        found: list[str] = []
        differ = (predicted >= 0) & (predicted != said)
        # One answer per prompt: others in the same prompt tend to be wrong for the same reason.
        for row in differ.any(1).nonzero()[:SHOWN, 0].tolist():
            answer = int(differ[row].nonzero()[0, 0])
            task = self.task if edited is None else edited.task
            end = int(task.answers.positions[row, answer]) + 1
            done = "" if edited is None else f" ({edited.words[row]})"
            rule, model = int(predicted[row, answer]), int(said[row, answer])
            found.append(
                f"{self._words(tokens[row, :end].tolist())}{done}: the rule says {self._words([rule])}, the model "
                f"{self._words([model])}"
            )
        return found

    def _words(self, tokens: list[int]) -> str:
        tokenizer = self.experiment.model.tokenizer
        if tokenizer is None:
            return " ".join(map(str, tokens))
        return repr(str(tokenizer.decode(tokens)))


def _agree(
    predicted: torch.Tensor, said: torch.Tensor, silence_is_wrong: torch.Tensor | None = None
) -> torch.Tensor:
    """The share of each example's predictions that the model confirms [batch]; NaN without predictions.

    Args:
        silence_is_wrong: True where making no prediction (-1) counts as wrong.
    """
    there = predicted >= 0 if silence_is_wrong is None else silence_is_wrong
    hits = ((predicted == said) & there).sum(1).double()
    return hits / torch.where(there.any(1), there.sum(1).double(), torch.nan)


def _by_example(values: torch.Tensor, rounds: int) -> torch.Tensor:
    """The mean over rounds [example], because edits of the same prompt are not independent."""
    return values.view(rounds, -1).nanmean(0)


def _nanmean(values: torch.Tensor) -> torch.Tensor:
    return values.nanmean()


def _enough(effect: Estimate) -> Verdict:
    if effect.low > ENOUGH:
        return "supports"
    return "undermines" if effect.high < ENOUGH else "inconclusive"


def _unless_alike(verdict: Verdict, reason: str, effect: Estimate, null: Estimate) -> tuple[Verdict, str]:
    """Support means nothing if predictions for other prompts agree with the model as often."""
    if verdict != "supports" or effect.low > null.high:
        return verdict, reason
    return (
        "inconclusive",
        f"{reason} They agree as often when prompts are shuffled, because the answers are all alike.",
    )
