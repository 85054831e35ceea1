"""The checks of unit A."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mechscope.course.challenges.challenge import Challenge, challenge
from mechscope.course.challenges.grading import parameters_that_changed
from mechscope.course.challenges.mystery import every_input, mystery
from mechscope.course.challenges.subject import AskedTheModelError, Head, no_model_may_run
from mechscope.course.challenges.task import Tokens
from mechscope.course.trial import CheckFailedError, Mistake, Trial
from mechscope.course.units.algorithmic.reference import head_effects

ASKED = "Write down what the model does, so that you can tell without asking it."
IN_PLACE = "You changed the model that was given to you. Change a copy.deepcopy of it."
ELSEWHERE = "Change nothing else in the model."
REVERSAL_HEAD: Head = (0, 0)


def _mistake_that(trial: Trial, does: Callable[[Mistake], bool]) -> str:
    """The diagnosis of the first known mistake for which something holds; empty if there is none."""
    for mistake in trial.mistakes:
        try:
            if does(mistake):
                return mistake.diagnosis
        except Exception:
            # A mistake may be impossible for these inputs; then it is not this one.
            continue
    return ""


def _without_models(run: Callable[[], Any]) -> Any:
    try:
        with no_model_may_run():
            return run()
    except AskedTheModelError as error:
        raise CheckFailedError(str(error), ASKED) from None


# Programs


def _check_explanation(trial: Trial, name: str) -> None:
    subject = challenge(name)
    inputs = subject.both_kinds(trial.seed, 300)
    said = _without_models(lambda: [trial.call(tokens) for tokens in inputs])
    strange = [answer for answer in said if answer not in subject.outputs]
    trial.require(
        not strange,
        f"your function returned {strange[0]!r}; one of {', '.join(map(repr, subject.outputs))} is expected."
        if strange
        else "",
    )
    answers = dict(zip(inputs, said, strict=True))
    grade = subject.grade_explanation(answers.__getitem__, inputs=inputs)
    if not grade.passed:
        same = _mistake_that(trial, lambda mistake: [mistake.function(tokens) for tokens in inputs] == said)
        raise CheckFailedError(grade.words, same)


def check_explain_brackets(trial: Trial) -> None:
    _check_explanation(trial, "brackets")


def check_explain_palindromes(trial: Trial) -> None:
    _check_explanation(trial, "palindromes")


def check_explain_count_distinct(trial: Trial) -> None:
    _check_explanation(trial, "count_distinct")


# Attention


def _check_attention(trial: Trial, name: str, head: Head) -> None:
    subject = challenge(name)
    inputs = subject.held_out(200, trial.seed)
    said = _without_models(lambda: [trial.call(tokens) for tokens in inputs])
    trial.require(
        all(isinstance(row, list | tuple | Tensor) for row in said),
        f"your function returned {said[0]!r}; a list of numbers is expected.",
    )
    predictions = dict(zip(inputs, said, strict=True))
    grade = subject.grade_attention(predictions.__getitem__, head, inputs=inputs)
    if not grade.passed:
        same = _mistake_that(
            trial,
            lambda mistake: all(_same(mistake.function(tokens), predictions[tokens]) for tokens in inputs),
        )
        raise CheckFailedError(grade.words, same)


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and torch.allclose(torch.as_tensor(one), torch.as_tensor(other))


def check_attention_maximum(trial: Trial) -> None:
    _check_attention(trial, "maximum", (0, 0))


def check_attention_reversal(trial: Trial) -> None:
    _check_attention(trial, "reversal", REVERSAL_HEAD)


# Heads


def check_head_effects(trial: Trial) -> None:
    subject = challenge("first_unique")
    with torch.no_grad():
        inputs = subject.held_out(trial.number(60, 90), trial.number(0, 1000))
        trial.compare(subject.model, subject.encode(inputs), what="the effects")
        hidden = mystery(2 * trial.seed)
        inputs = _mystery_inputs(trial.seed, 60)
        trial.compare(hidden.model, hidden.encode(inputs), what="the effects in a mystery model")


def _mystery_inputs(seed: int, n: int) -> list[Tokens]:
    return random.Random(seed).sample(every_input(mystery(2 * seed)), n)


def check_find_exceptions(trial: Trial) -> None:
    # Mysteries with an even number have two layers: they are quicker to ablate.
    hidden = mystery(2 * trial.seed)
    tokens = hidden.encode(_mystery_inputs(trial.seed, 150))
    with torch.no_grad():
        effects = head_effects(hidden.model, tokens)
        trial.compare(hidden.model, tokens, effects, what="the exceptions")


# Adversarial inputs

IN_ORDER = (
    "These lists are in order, and the model says so. Look for lists that it takes to be in order wrongly."
)
TOO_FAR = "Two neighbours are exchanged, but they differ too much. Which exchange is smallest?"
SHUFFLED = "Lists as disordered as these are easy for the model. Which disorder is hard to notice?"
ORDINARY = "Such sums are common in random lists, so the model knows them well. Which sums are rare?"
NOT_RARE = "These sums are unusual, but not unusual enough: training still showed them often."


def _about_lists(found: Sequence[Tokens]) -> str:
    """Why lists of digits do not deceive the model."""
    in_order = [list(row) == sorted(row) for row in found]
    if sum(in_order) > len(found) / 2:
        return IN_ORDER
    return TOO_FAR if sum(map(_is_one_exchange, found)) > len(found) / 2 else SHUFFLED


def _is_one_exchange(row: Tokens) -> bool:
    for place in range(len(row) - 1):
        exchanged = [*row[:place], row[place + 1], row[place], *row[place + 2 :]]
        if exchanged == sorted(row) != list(row):
            return True
    return False


def _about_sums(found: Sequence[Tokens]) -> str:
    """Why lists of digits have sums that the model knows."""
    sums = sorted(sum(map(int, row)) for row in found)
    ordinary = [10 <= total <= 35 for total in sums]
    return ORDINARY if sum(ordinary) > len(sums) / 2 else NOT_RARE


def _check_adversarial(trial: Trial, name: str, n: int, diagnose: Callable[[Sequence[Tokens]], str]) -> None:
    subject = challenge(name)
    for seed in (trial.number(0, 1000), trial.number(1000, 2000)):
        found = _without_models(lambda seed=seed: trial.call(n, seed))
        call = trial.in_words((n, seed), {})
        trial.require(
            isinstance(found, list | tuple) and all(isinstance(row, list | tuple) for row in found),
            "a list of inputs is expected, each a tuple of strings.",
        )
        try:
            grade = subject.grade_adversarial(found, n)
        except ValueError as error:
            raise CheckFailedError(str(error), "", call) from None
        if not grade.passed:
            raise CheckFailedError(grade.words, diagnose(found) if grade.valid else "", call)


def check_adversarial_sorted_list(trial: Trial) -> None:
    _check_adversarial(trial, "sorted_list", trial.number(40, 60), _about_lists)


def check_adversarial_digit_sum(trial: Trial) -> None:
    _check_adversarial(trial, "digit_sum", trial.number(15, 25), _about_sums)


# Repairs


def _check_repair(trial: Trial, subject: Challenge, parameter: str, arguments: Sequence[Tensor] = ()) -> None:
    given = copy.deepcopy(subject.model)
    repaired = trial.function(given, *arguments)
    same_kind = type(repaired) is type(given)
    trial.require(
        same_kind, f"your function returned {type(repaired).__name__}; the changed model is expected."
    )
    trial.require(not parameters_that_changed(subject.model, given), "the original has changed.", IN_PLACE)
    others = [name for name in parameters_that_changed(subject.model, repaired) if name != parameter]
    trial.require(not others, f"{', '.join(others)} changed as well as or instead of {parameter}.", ELSEWHERE)
    grade = subject.grade_repair(repaired, seed=trial.seed, n=120)
    if not grade.passed:

        def does_the_same(mistake: Mistake) -> bool:
            wrong = mistake.function(copy.deepcopy(subject.model), *arguments)
            one, other = (dict(model.named_parameters())[parameter] for model in (wrong, repaired))
            return torch.allclose(one, other, atol=1e-4)

        raise CheckFailedError(grade.words, _mistake_that(trial, does_the_same))


def check_repair_majority(trial: Trial) -> None:
    original = challenge("majority")
    model = copy.deepcopy(original.model)
    # A bias of its own each time, so that no number can be built in.
    with torch.no_grad():
        model.unembed.b_U[0] += float(trial.uniform(1, low=20, high=60))
    subject = original.with_model(model)
    inputs = original.both_kinds(trial.seed + 1, 300)
    labels = torch.tensor([subject.outputs.index(subject.rule(tokens)) for tokens in inputs])
    _check_repair(trial, subject, "unembed.b_U", (subject.encode(inputs), labels))


def check_repair_running_sum(trial: Trial) -> None:
    _check_repair(trial, challenge("running_sum"), "embed.W_E")
