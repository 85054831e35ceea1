"""The ladder of a rule: is it what the model says, does a plain rival do as well, does it hold under edits?

Sources: Elhage et al. 2021 and Olsson et al. 2022 for the rivals; Ribeiro et al. 2020 for edits that should and
edits that should not change the answer.
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
    fit_rivals_to_prompts,
    fit_rivals_to_text,
    model_answers,
)
from mechscope.techniques.redteam._intervals import LEVEL, Estimate
from mechscope.techniques.redteam._prompt_edits import Edited, reorderings, swaps
from mechscope.techniques.redteam._running_checks import Bench, Finding, Step, not_run, percent, spread
from mechscope.techniques.redteam.evidence import Verdict
from mechscope.techniques.redteam.hypotheses import Behaviour

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

ENOUGH = 0.75
"""A rule that agrees with the model less often than this does not describe it."""
SAME_RULE = 0.95
"""A rival that answers like the hypothesis on this share of edited prompts is the hypothesis."""
ROUNDS = 8
FEWEST_CELLS = 10
SHOWN = 5
UNIT = "agreement with the model"


class BehaviourLadder:
    """The checks of `Behaviour`."""

    def __init__(
        self,
        bench: Bench,
        hypothesis: Behaviour,
        training_tokens: torch.Tensor | None,
        other_models: Sequence[HookedTransformer],
        other_tasks: Sequence[Task],
        paraphrases: Sequence[Task],
    ) -> None:
        self.bench, self.hypothesis, self.task = bench, hypothesis, bench.task
        self.other_models, self.other_tasks, self.paraphrases = other_models, other_tasks, paraphrases
        self._training_tokens = training_tokens
        self.fitted_on = (
            "the task's own prompts, each example's by the others"
            if training_tokens is None
            else "training_tokens"
        )
        self._model = model_answers(bench.model, hypothesis)

    # Each of these is worked out by the first check that asks for it, which then bears the cost.

    @cached_property
    def said(self) -> torch.Tensor:
        """The model's answers to the clean prompts."""
        return self.model(self.task, self.task.clean)

    @cached_property
    def predicted(self) -> torch.Tensor:
        """The rule's answers to them."""
        return self.hypothesis.answers(self.task, self.task.clean)

    @cached_property
    def swapped(self) -> Edited:
        """Every prompt with one token swapped, several times."""
        return swaps(self.task, ROUNDS, self.bench.generator(1))

    @cached_property
    def said_swapped(self) -> torch.Tensor:
        """The model's answers to those."""
        return self.model(self.swapped.task, self.swapped.tokens)

    @cached_property
    def predicted_swapped(self) -> torch.Tensor:
        """The rule's answers to those."""
        return self.hypothesis.answers(self.swapped.task, self.swapped.tokens)

    @cached_property
    def rivals(self) -> dict[str, Respond]:
        """Every rival, fitted."""
        model, text = self.bench.model, self._training_tokens
        if text is None:
            return fit_rivals_to_prompts(model, self.hypothesis, self.task)
        return fit_rivals_to_text(model, self.hypothesis, text)

    def model(self, task: Task, tokens: torch.Tensor) -> torch.Tensor:
        """The model's answers; the passes are counted."""
        self.bench.passes += len(tokens) / self.task.n_examples
        return self._model(task, tokens)

    def steps(self) -> list[Step]:
        """The rungs in order."""
        more = "Run it on more prompts."
        return [
            Step(
                "the model does it",
                "Is the model right on clean prompts, and not as often on corrupted ones?",
                self.accuracy,
                "Take a model that shows the behaviour.",
                2,
            ),
            Step("agrees with the model", "Is what the rule says what the model says?", self.agreement, more),
            Step("beats the rivals", "Does a plain rival say what the model says as often?", self.against_rivals,
                 "Give training_tokens=…, the text that the model was trained on.", ROUNDS),
            Step("swaps that matter", "Where the rule says that swapping a token changes the answer, does it, so?",
                 lambda: self.swap(matters=True), more, ROUNDS),
            Step("swaps that do not matter", "Where the rule says that a swap changes nothing, does nothing change?",
                 lambda: self.swap(matters=False), more, ROUNDS),
            Step("reorderings", "Does the rule hold where tokens change places?", self.reordered, more, ROUNDS),
            Step("paraphrases", "Does it hold on the worst template?", self.templates,
                 "Give paraphrase=…: the same task in other words (a Task, or several).", 1),
            Step("holds on other tasks", "Does the rule say what the model says on other prompts?", self.tasks,
                 "Give other_tasks=[…]: other prompts about which the rule says something.", 1),
            Step("holds in other models", "Do other models follow it too?", self.models,
                 "Give other_models=[…]: the same shape trained from other seeds.", 1),
        ]  # fmt: skip

    def accuracy(self) -> Finding:
        right = self._right(self.said)
        wrong = self._right(self.model(self.task, self.task.corrupted))
        clean, corrupted = self.bench.bootstrap.mean(right), self.bench.bootstrap.mean(wrong)
        gap = self.bench.bootstrap.mean(right - wrong)
        verdict: Verdict = "supports" if gap.low > 0 and clean.low > 0.5 else "inconclusive"
        if gap.high <= 0.02 or clean.high < 0.2:
            verdict = "undermines"
        reason = f"The model is right on {percent(clean.value)} of clean prompts."
        return Finding(verdict, reason, clean, "accuracy", corrupted, "corrupted prompts")

    def agreement(self) -> Finding:
        effect = self.bench.bootstrap.mean(_agree(self.predicted, self.said))
        generator = self.bench.generator(2)
        draws = [
            _agree(self.predicted[torch.randperm(len(self.said), generator=generator)], self.said)
            for _ in range(self.bench.n_null)
        ]
        null = spread(torch.stack([each[torch.isfinite(each)].mean() for each in draws]).numpy())
        verdict = _enough(effect)
        reason = f"They agree on {percent(effect.value)}."
        if verdict == "supports" and effect.low <= null.high:
            verdict = "inconclusive"
            reason += " So they do when prompts are shuffled: all answers are alike."
        wrong = self._counter_examples(self.predicted, self.said, self.task.clean, None)
        details = {"counter-examples": wrong}
        return Finding(verdict, reason, effect, UNIT, null, "shuffled prompts", details=details)

    def against_rivals(self) -> Finding:
        # Task prompts and edited ones together: on the former alone two different rules may coincide.
        own = torch.cat([self.predicted, self.predicted_swapped])
        said = torch.cat([self.said, self.said_swapped])
        rounds = ROUNDS + 1
        mine = _by_example(_agree(own, said), rounds)
        found: dict[str, Estimate] = {}
        on_task: dict[str, float] = {}
        alike: list[str] = []
        gaps: dict[str, Estimate] = {}
        for name, rival in self.rivals.items():
            first = rival(self.task, self.task.clean)
            there = torch.cat([first, rival(self.swapped.task, self.swapped.tokens)])
            told = own >= 0
            if float((there == own)[told].double().mean()) >= SAME_RULE:
                alike.append(name)
                continue
            # Only where the rule says something, so that both are asked the same.
            theirs = _by_example(_agree(torch.where(told, there, -1), said, silence_is_wrong=told), rounds)
            found[name], gaps[name] = (
                self.bench.bootstrap.mean(theirs),
                self.bench.bootstrap.mean(mine - theirs),
            )
            on_task[name] = float(_nanmean(_agree(first, self.said)))
        effect = self.bench.bootstrap.mean(mine)
        if not found:
            return Finding("inconclusive", f"Every rival is the same rule: {', '.join(alike)}.", effect, UNIT)
        name = min(gaps, key=lambda each: gaps[each].value)
        gap = gaps[name]
        verdict: Verdict = (
            "supports" if gap.low > 0 else "undermines" if gap.value <= 0.01 else "inconclusive"
        )
        reason = (
            f"The best rival, {name}, says what the model says in {percent(found[name].value)} of answers, the rule in "
            f"{percent(effect.value)} (fitted on {self.fitted_on}; swapped prompts included)."
        )
        if alike:
            reason += f" The same rule as the hypothesis, so not held against it: {', '.join(alike)}."
        details = {
            "task and swapped prompts": {each: one.value for each, one in found.items()},
            "task prompts alone": on_task,
            "same rule": alike,
        }
        return Finding(verdict, reason, effect, UNIT, found[name], f"the {name} rival", details=details)

    def swap(self, matters: bool) -> Finding:
        before = self.predicted.repeat(ROUNDS, 1)
        after = self.predicted_swapped
        told = (before >= 0) & (after >= 0) & ((after != before) if matters else (after == before))
        # Where it was wrong before, a swap tests nothing: only what it got right is asked again.
        told &= before == self.said.repeat(ROUNDS, 1)
        if int(told.sum()) < FEWEST_CELLS:
            return not_run(
                f"Only {int(told.sum())} swaps of this kind came up where the rule was right before."
            )
        asked = torch.where(told, after, -1)
        effect = self.bench.bootstrap.mean(_by_example(_agree(asked, self.said_swapped), ROUNDS))
        verdict = _enough(effect)
        wrong = self._counter_examples(asked, self.said_swapped, self.swapped.tokens, self.swapped)
        details = {"answers asked": int(told.sum()), "counter-examples": wrong}
        if not matters:
            reason = f"{percent(effect.value)} of {int(told.sum())} answers stay."
            return Finding(verdict, reason, effect, UNIT, details=details)
        stay = torch.where(told, before, -1)
        null = self.bench.bootstrap.mean(_by_example(_agree(stay, self.said_swapped), ROUNDS))
        reason = f"{percent(effect.value)} of {int(told.sum())} answers change as predicted."
        return Finding(verdict, reason, effect, UNIT, null, "the old answer stays", details=details)

    def reordered(self) -> Finding:
        edited = reorderings(self.task, ROUNDS, self.bench.generator(3))
        said = self.model(edited.task, edited.tokens)
        predicted = self.hypothesis.answers(edited.task, edited.tokens)
        if int((predicted >= 0).sum()) < FEWEST_CELLS:
            return not_run("The rule says nothing about reordered prompts.")
        effect = self.bench.bootstrap.mean(_by_example(_agree(predicted, said), ROUNDS))
        old = self.bench.bootstrap.mean(_by_example(_agree(self.said.repeat(ROUNDS, 1), said), ROUNDS))
        wrong = self._counter_examples(predicted, said, edited.tokens, edited)
        reason = f"They agree on {percent(effect.value)} of reordered prompts."
        details = {"counter-examples": wrong}
        return Finding(_enough(effect), reason, effect, UNIT, old, "the old answer stays", details=details)

    def templates(self) -> Finding:
        groups: dict[str, Estimate] = {}
        numbers = self.task.templates
        kinds = [] if numbers is None else numbers.unique().tolist()
        count = (len(kinds) if len(kinds) > 1 else 0) + len(self.paraphrases)
        if not count:
            return not_run("The task has one template, and no paraphrase was given.")
        # The worst of several is low by chance; wider intervals make up for the choice (Bonferroni).
        level = 1 - (1 - LEVEL) / count
        if numbers is not None and len(kinds) > 1:
            agree = _agree(self.predicted, self.said)
            for number in kinds:
                groups[f"template {number}"] = self._mean(agree[numbers.cpu() == number], level)
        for number, task in enumerate(self.paraphrases):
            groups[f"paraphrase {number}: {task.name}"] = self._on(task, self.bench.model, level)
        return self._worst(groups, "template")

    def tasks(self) -> Finding:
        if not self.other_tasks:
            return not_run("No other tasks were given.")
        level = 1 - (1 - LEVEL) / len(self.other_tasks)
        groups = {task.name: self._on(task, self.bench.model, level) for task in self.other_tasks}
        return self._worst(groups, "task")

    def models(self) -> Finding:
        if not self.other_models:
            return not_run("No other models were given.")
        level = 1 - (1 - LEVEL) / len(self.other_models)
        groups = {
            f"{number}: {model_name(model)}": self._on(self.task, model, level)
            for number, model in enumerate(self.other_models)
        }
        return self._worst(groups, "model")

    def _worst(self, groups: dict[str, Estimate], what: str) -> Finding:
        told = {name: one for name, one in groups.items() if one.value == one.value}
        if not told:
            return not_run(f"The rule says nothing about any {what}.")
        name = min(told, key=lambda each: told[each].value)
        details = {f"by {what}": {each: one.value for each, one in groups.items()}}
        reason = f"The worst of {len(told)}: {name}, {percent(told[name].value)}."
        bound = Estimate(ENOUGH, ENOUGH, ENOUGH)
        return Finding(_enough(told[name]), reason, told[name], UNIT, bound, "the bound", details=details)

    def _on(self, task: Task, model: HookedTransformer, level: float) -> Estimate:
        said = model_answers(model, self.hypothesis)(task, task.clean)
        self.bench.passes += task.n_examples / self.task.n_examples
        return self._mean(_agree(self.hypothesis.answers(task, task.clean), said), level)

    def _mean(self, values: torch.Tensor, level: float) -> Estimate:
        return self.bench.bootstrap.mean(values, level)

    def _right(self, said: torch.Tensor) -> torch.Tensor:
        return (said[..., None] == self.task.answers.correct.cpu()).any(-1).double().mean(1)

    def _counter_examples(
        self, predicted: torch.Tensor, said: torch.Tensor, tokens: torch.Tensor, edited: Edited | None
    ) -> list[str]:
        """The first few cells where rule and model differ, in words."""
        found: list[str] = []
        differ = (predicted >= 0) & (predicted != said)
        # One answer a prompt: the others of the same prompt tend to be wrong for the same reason.
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
        tokenizer = self.bench.model.tokenizer
        if tokenizer is None:
            return " ".join(map(str, tokens))
        return repr(str(tokenizer.decode(tokens)))


def _agree(
    predicted: torch.Tensor, said: torch.Tensor, silence_is_wrong: torch.Tensor | None = None
) -> torch.Tensor:
    """The share of each example's predictions [batch] that the model's answers bear out; NaN where there are none.

    Args:
        silence_is_wrong: cells where saying nothing (-1) counts as a wrong prediction.
    """
    there = predicted >= 0 if silence_is_wrong is None else silence_is_wrong
    hits = ((predicted == said) & there).sum(1).double()
    return hits / torch.where(there.any(1), there.sum(1).double(), torch.nan)


def _by_example(values: torch.Tensor, rounds: int) -> torch.Tensor:
    """The mean over rounds of each example [example]; edits of one prompt are not independent of one another."""
    return values.view(rounds, -1).nanmean(0)


def _nanmean(values: torch.Tensor) -> torch.Tensor:
    return values.nanmean()


def _enough(effect: Estimate) -> Verdict:
    if effect.low > ENOUGH:
        return "supports"
    return "undermines" if effect.high < ENOUGH else "inconclusive"
