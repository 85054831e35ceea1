"""Mystery models: compiled from a small program, so that the true circuit is known and every answer has a grade.

Seeds never run out. A mystery model is handed over as weights, tokens and labels; its program is drawn again from the
seed when an answer is graded.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from mechscope.course.challenges import grading
from mechscope.course.challenges.grading import Grade
from mechscope.course.challenges.mystery_programs import MysteryProgram, draw_program
from mechscope.course.challenges.subject import Head, Subject
from mechscope.course.challenges.task import Tokens
from mechscope.planted import PlantedModel, compile_program, evaluate

NOISE = 0.002
"""Scale of the random weights that hide the circuit."""
IDLE_HEADS = 2
"""Heads per layer that compute nothing, besides those of the busiest layer."""
IDLE_NEURONS = 8
MATTERS = 0.004
"""A head of a mystery model matters if this share of all answers changes without it: the exception is rare."""
EXCEPTIONS = 20
"""How many inputs on which the exception shows are asked for."""
SHOWN = 2_000
"""Inputs on which attention is graded."""


def mystery(seed: int) -> Subject:
    """The mystery model of a seed, without its program.

    On most inputs it follows a rule; a rare exception is hidden in it. Inputs are rows of six letters from a to e:
    15,625 in all, so everything can be tried.

    Raises:
        ValueError: for a negative seed.

    >>> mystery(3).answers([tuple("abcdea")])
    ['down']
    """
    if seed < 0:
        raise ValueError(f"the seed of a mystery must not be negative, and {seed} is.")
    planted = _compiled(seed)
    return Subject(
        name=f"mystery {seed}",
        model=planted.model,
        vocabulary=planted.vocabulary,
        alphabet=planted.program.alphabet,
        outputs=planted.vocabulary,
        length=planted.program.length,
    )


def every_input(subject: Subject) -> list[Tokens]:
    """All inputs of a mystery model."""
    return list(itertools.product(subject.alphabet, repeat=subject.length))


def grade_program(seed: int, explain: Callable[[Tokens], str]) -> Grade:
    """How often a program gives the model's answer, on all inputs.

    Raises:
        AskedTheModelError: if it runs a model.
    """
    subject = mystery(seed)
    return grading.grade_explanation(subject, explain, every_input(subject), needed=0.999)


def grade_heads(seed: int, heads: Callable[[], Iterable[Head]]) -> Grade:
    """Whether the heads are those of the true circuit, confirmed by mean ablation over all inputs."""
    subject = mystery(seed)
    listed = {(int(layer), int(head)) for layer, head in heads()}
    measured = grading.grade_heads(subject, listed, every_input(subject), matters=MATTERS)
    missing = len({*true_heads(seed)} - listed)
    if measured.passed and missing:
        words = f"The true circuit has {missing} more, which matter on very few inputs."
        return replace(measured, words=words, valid=False)
    return measured


def grade_attention(seed: int, attention: Callable[[int, int, Tokens], Sequence[float]]) -> Grade:
    """How well a program predicts what each head of the true circuit attends to; the worst one counts.

    Raises:
        AskedTheModelError: if it runs a model.
    """
    subject = mystery(seed)
    # A random order, because one of the nulls gives each prediction to the next input.
    inputs = random.Random(seed).sample(every_input(subject), SHOWN)

    def predict(head: Head) -> Callable[[Tokens], Sequence[float]]:
        return lambda tokens: attention(*head, tokens)

    return min(
        (grading.grade_attention(subject, predict(head), inputs, head) for head in true_heads(seed)),
        key=lambda grade: grade.score if grade.valid else -1,
    )


def grade_exceptions(seed: int, exceptions: Callable[[int], Sequence[Tokens]]) -> Grade:
    """How many inputs there are among those found on which the model departs from its rule.

    Raises:
        ValueError: for something that is no input of the model.
    """
    rule = true_program(seed).rule

    def departs(tokens: Tokens, answer: str) -> bool:
        return evaluate(rule, tokens)[-1] != answer

    graded = grading.grade_adversarial(mystery(seed), exceptions(EXCEPTIONS), EXCEPTIONS, departs, needed=1.0)
    words = graded.words.replace("The model is wrong on", "The model departs from its rule on")
    return replace(graded, words=words.replace("It is right about", "It follows the rule on"))


GRADERS: Mapping[str, Callable[[int, Callable[..., Any]], Grade]] = {
    "explain": grade_program,
    "heads": grade_heads,
    "attention": grade_attention,
    "exceptions": grade_exceptions,
}
"""What is asked about a mystery model → its grade, given the seed and the learner's function."""


def true_heads(seed: int) -> tuple[Head, ...]:
    """The heads of the circuit that was compiled; for grades and tests."""
    return _compiled(seed).true_heads


def true_program(seed: int) -> MysteryProgram:
    """The program that was compiled; for grades and tests."""
    return draw_program(seed)


@cache
def _compiled(seed: int) -> PlantedModel:
    planted = compile_program(
        draw_program(seed).program,
        noise=NOISE,
        rotate=True,
        seed=seed,
        extra_layers=seed % 2,
        extra_heads=IDLE_HEADS,
        extra_neurons=IDLE_NEURONS,
    )
    planted.model.requires_grad_(False)
    return planted
