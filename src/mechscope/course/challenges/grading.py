"""Objective grades for what someone says about a small model: its program, its attention, its heads, its errors, and a
repair of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mechscope.course.challenges.subject import Head, Subject, no_model_may_run
from mechscope.course.challenges.task import Tokens

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

AGREEMENT = 0.97
"""The share of the model's answers that an explanation must give."""
SKILL = 0.6
"""How much of the way from the best null to the measured attention a prediction must go."""
CONSTANT = 0.95
"""Patterns that have this much in common with those of other inputs do not depend on the input."""
MATTERS = 0.02
"""A head matters if this share of answers changes without it."""
FOOLED = 0.8
"""The share of adversarial inputs that the model must get wrong."""
KEPT = 0.01
"""How much accuracy on ordinary inputs a repair may cost."""


@dataclass(frozen=True)
class Grade:
    """One grade: a measured number and what it had to be."""

    what: str
    """What was graded."""
    score: float
    """The measured number."""
    needed: float
    """What it must be at least."""
    words: str
    """What was found, in a sentence or two."""
    valid: bool = True
    """False if something besides the number is wrong; `words` then says what."""

    @property
    def passed(self) -> bool:
        """Whether it is good enough."""
        return self.valid and self.score >= self.needed

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "not passed"
        return f"{self.what}: {self.score:.3f} ({self.needed:g} needed, {verdict}). {self.words}"


def _invalid(what: str, needed: float, words: str) -> Grade:
    return Grade(what, 0.0, needed, words, valid=False)


def grade_explanation(
    subject: Subject,
    explain: Callable[[Tokens], str],
    inputs: Sequence[Tokens],
    *,
    rule: Callable[[Tokens], str] | None = None,
    needed: float = AGREEMENT,
) -> Grade:
    """How often a program gives the model's answer.

    Args:
        explain: the program; running a model in it is an error.
        inputs: on which inputs to compare; not those that the program was written from.
        rule: the true label; if given, the grade also says how often the program follows it.

    Raises:
        AskedTheModelError: if the program runs a model.
    """
    answers = subject.answers(inputs)
    with no_model_may_run():
        said = [explain(tokens) for tokens in inputs]
    different = [place for place, (one, other) in enumerate(zip(said, answers, strict=True)) if one != other]
    agreement = 1 - len(different) / len(inputs)
    words = f"Your program gives the model's answer on {agreement:.1%} of {len(inputs)} inputs"
    if rule is not None:
        right = sum(one == rule(tokens) for one, tokens in zip(said, inputs, strict=True)) / len(inputs)
        words += f", and the true one on {right:.1%}"
    if different:
        place = different[0]
        shown = " ".join(inputs[place])
        words += f". On {shown} the model says {answers[place]!r}, your program {said[place]!r}"
    return Grade("explanation", agreement, needed, f"{words}.")


def overlap(one: Tensor, other: Tensor) -> float:
    """How much two sets of attention patterns [input key] have in common on average: 1 if they are the same."""
    return float(torch.minimum(one, other).sum(-1).mean())


def grade_attention(
    subject: Subject,
    predict: Callable[[Tokens], Sequence[float]],
    inputs: Sequence[Tokens],
    head: Head,
    *,
    needed: float = SKILL,
) -> Grade:
    """How well a program predicts what a head attends to from the last position.

    The score is 0 for a prediction that is no better than a null and 1 for a perfect one. There are two nulls, and the
    better one counts: equal attention to every position, and the predictions themselves, given to other inputs. The
    second is left out for a head that attends to the same positions whatever the input.

    Args:
        predict: gives one number for each position, the first token included; they add up to 1.

    Raises:
        AskedTheModelError: if the program runs a model.
    """
    measured = subject.attention(inputs, *head)
    keys = measured.shape[1]
    rows: list[Tensor] = []
    with no_model_may_run():
        for tokens in inputs:
            row = torch.as_tensor(predict(tokens), dtype=torch.float32)
            shown = " ".join(tokens)
            if row.shape != (keys,):
                return _invalid(
                    "attention",
                    needed,
                    f"For {shown} your prediction has shape {list(row.shape)}; one number for each of {keys} positions "
                    "is expected, the first token included.",
                )
            total = float(row.sum())
            if bool((row < 0).any()) or not math.isclose(total, 1, abs_tol=1e-3):
                return _invalid(
                    "attention",
                    needed,
                    f"For {shown} your prediction adds up to {total:.3g}. Attention is never negative and adds up "
                    "to 1.",
                )
            rows.append(row)
    predicted = torch.stack(rows)
    found = overlap(predicted, measured)
    null = overlap(torch.full_like(measured, 1 / keys), measured)
    if overlap(measured.roll(1, 0), measured) < CONSTANT:
        null = max(null, overlap(predicted.roll(1, 0), measured))
    skill = (found - null) / (1 - null) if null < 1 else 0.0
    return Grade(
        "attention",
        skill,
        needed,
        f"Your prediction and head {head[0]}.{head[1]} have {found:.1%} of their attention in common; the better null "
        f"has {null:.1%}.",
    )


def grade_heads(
    subject: Subject, heads: Iterable[Head], inputs: Sequence[Tokens], *, matters: float = MATTERS
) -> Grade:
    """Whether the listed heads matter and the others do not, by mean ablation.

    Each listed head, removed alone, must change a share `matters` of the answers; all the others, removed together,
    must change less. The score is the share of the model's answers that are left with the listed heads alone.
    """
    listed = {(int(layer), int(head)) for layer, head in heads}
    needed = 1 - matters
    if unknown := sorted(listed - {*subject.heads}):
        return _invalid("heads", needed, f"The model has no head {unknown[0][0]}.{unknown[0][1]}.")
    answers = subject.answers(inputs)

    def changed(without: Iterable[Head]) -> float:
        others = subject.answers_without(inputs, without)
        return sum(one != other for one, other in zip(answers, others, strict=True)) / len(inputs)

    others = sorted({*subject.heads} - listed)
    left = 1 - (changed(others) if others else 0.0)
    idle = [head for head in sorted(listed) if changed([head]) < matters]
    if idle:
        return Grade(
            "heads",
            left,
            needed,
            f"Without head {idle[0][0]}.{idle[0][1]} alone, fewer than {matters:.1%} of the answers change: it does "
            "not belong in the list.",
            valid=False,
        )
    return Grade(
        "heads",
        left,
        needed,
        f"With every other head mean-ablated, {left:.1%} of the answers stay the same.",
    )


def grade_adversarial(
    subject: Subject,
    inputs: Sequence[Tokens],
    n: int,
    is_wrong: Callable[[Tokens, str], bool],
    *,
    needed: float = FOOLED,
) -> Grade:
    """How many inputs the model gets wrong.

    Args:
        inputs: the inputs that were found; there must be `n` different ones.
        is_wrong: whether an answer to an input is wrong.

    Raises:
        ValueError: for something that is no input of the model.
    """
    rows = [tuple(tokens) for tokens in inputs]
    if len(rows) != n or len({*rows}) != n:
        return _invalid(
            "adversarial inputs",
            needed,
            f"There are {len(rows)} inputs, {len({*rows})} of them different; {n} different ones are expected.",
        )
    answers = subject.answers(rows)
    right = [(row, answer) for row, answer in zip(rows, answers, strict=True) if not is_wrong(row, answer)]
    share = 1 - len(right) / n
    words = f"The model is wrong on {share:.1%} of {n} inputs"
    if right:
        words += f". It is right about {' '.join(right[0][0])}: {right[0][1]!r}"
    return Grade("adversarial inputs", share, needed, f"{words}.")


def grade_repair(
    subject: Subject,
    repaired: HookedTransformer,
    rule: Callable[[Tokens], str],
    ordinary: Sequence[Tokens],
    hard: Sequence[Tokens],
    *,
    needed: float,
    kept: float = KEPT,
) -> Grade:
    """Whether a changed model is better where the original is bad, and no worse elsewhere.

    Args:
        repaired: the changed model.
        rule: the true label.
        ordinary: inputs that the original gets right, most of them.
        hard: inputs that contain its flaw.
        needed: what the accuracy on the hard inputs must be.
        kept: how much accuracy on ordinary inputs may be lost.
    """
    after = subject.with_model(repaired)

    def accuracy(one: Subject, inputs: Sequence[Tokens]) -> float:
        return sum(
            answer == rule(row) for answer, row in zip(one.answers(inputs), inputs, strict=True)
        ) / len(inputs)

    before_hard, after_hard = accuracy(subject, hard), accuracy(after, hard)
    before, now = accuracy(subject, ordinary), accuracy(after, ordinary)
    words = (
        f"Accuracy on the hard inputs went from {before_hard:.1%} to {after_hard:.1%}, on ordinary ones from "
        f"{before:.1%} to {now:.1%}."
    )
    return Grade("repair", after_hard, needed, words, valid=now >= before - kept)


def parameters_that_changed(one: Any, other: Any) -> list[str]:
    """The names of the parameters in which two models of the same shape differ."""
    second = dict(other.named_parameters())
    return [name for name, weight in one.named_parameters() if not torch.equal(weight, second[name])]
