"""The eleven challenges: shipped models with their tasks and grades."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import safetensors.torch

from mechscope.course.challenges import grading
from mechscope.course.challenges.grading import Grade
from mechscope.course.challenges.subject import Head, Subject
from mechscope.course.challenges.task import ASK, ChallengeTask, Tokens
from mechscope.course.challenges.tasks import TASKS
from mechscope.course.challenges.training import WEIGHTS, new_model
from mechscope.near_names import did_you_mean

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

GRADED = 500
"""Inputs on which a grade is measured."""


@dataclass(frozen=True, kw_only=True)
class Challenge(Subject):
    """A model that was trained on a task, and the five grades of what you find out about it.

    >>> brackets = challenge("brackets")
    >>> brackets.answers([tuple("()()()()()"), tuple("((((((((((") ])
    ['yes', 'no']
    """

    task: ChallengeTask
    """What it was trained on."""

    def rule(self, tokens: Tokens) -> str:
        """The true label of an input."""
        self.task.check_input(tokens)
        return self.task.rule(tokens)

    def held_out(self, n: int = GRADED, seed: int = 0, *, wide: bool = False) -> list[Tokens]:
        """Inputs that the model was not trained on.

        Args:
            wide: not drawn as the training inputs were, but with kinds of input that those rarely or never contained.
        """
        return self.task.held_out(n, seed, wide=wide)

    def accuracy(self, inputs: Sequence[Tokens]) -> float:
        """The share of inputs that the model labels by the rule."""
        return sum(
            answer == self.rule(row) for answer, row in zip(self.answers(inputs), inputs, strict=True)
        ) / len(inputs)

    def grade_explanation(
        self, explain: Callable[[Tokens], str], inputs: Sequence[Tokens] | None = None
    ) -> Grade:
        """How often a program gives the model's answer.

        Args:
            inputs: on which inputs; None means held-out ones of both kinds.
        """
        inputs = self.both_kinds(0) if inputs is None else inputs
        return grading.grade_explanation(self, explain, inputs, rule=self.rule)

    def grade_attention(
        self,
        predict: Callable[[Tokens], Sequence[float]],
        head: Head,
        inputs: Sequence[Tokens] | None = None,
    ) -> Grade:
        """How well a program predicts what a head attends to from the last position.

        Args:
            inputs: on which inputs; None means held-out ones.
        """
        return grading.grade_attention(self, predict, self.held_out() if inputs is None else inputs, head)

    def grade_heads(self, heads: Iterable[Head], seed: int = 0) -> Grade:
        """Whether mean ablation confirms that these heads matter and the others do not."""
        return grading.grade_heads(self, heads, self.held_out(seed=seed))

    def grade_adversarial(self, inputs: Sequence[Tokens], n: int) -> Grade:
        """How many of `n` inputs the model gets wrong."""
        for tokens in inputs:
            self.task.check_input(tokens)
        return grading.grade_adversarial(self, inputs, n, lambda row, answer: answer != self.rule(row))

    def grade_repair(
        self, repaired: HookedTransformer, needed: float = 0.95, seed: int = 0, n: int = GRADED
    ) -> Grade:
        """Whether a changed model is right where this one is wrong, and no worse elsewhere.

        Args:
            needed: what its accuracy on inputs of the wider distribution must be.
            n: on how many held-out inputs of each kind it is measured.
        """
        return grading.grade_repair(
            self,
            repaired,
            self.rule,
            self.held_out(n, seed),
            self.held_out(n, seed, wide=True),
            needed=needed,
        )

    def both_kinds(self, seed: int, n: int = GRADED) -> list[Tokens]:
        """Held-out inputs, half of them from the wider distribution."""
        return self.held_out(n // 2, seed) + self.held_out(n - n // 2, seed, wide=True)


@cache
def challenge(name: str) -> Challenge:
    """One of the eleven challenges.

    Raises:
        KeyError: for an unknown name; suggests similar ones.
    """
    if name not in TASKS:
        raise KeyError(
            f"there is no challenge {name!r}.{did_you_mean(name, TASKS)} They are {', '.join(TASKS)}."
        )
    task = TASKS[name]
    model = new_model(task, 0)
    state = safetensors.torch.load_file(WEIGHTS / f"{name}.safetensors")
    model.load_state_dict({key: weight.float() for key, weight in state.items()}, strict=False)
    model.requires_grad_(False)
    return Challenge(
        name=name,
        model=model,
        vocabulary=task.vocabulary,
        alphabet=task.alphabet,
        outputs=task.labels,
        length=task.length,
        ending=(ASK,) if task.asks else (),
        task=task,
    )
