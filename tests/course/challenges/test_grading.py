"""The five grades, against cases worked out by hand and against models whose answers are known."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from mechscope.course.challenges import grading
from mechscope.course.challenges.challenge import challenge
from mechscope.course.challenges.subject import AskedTheModelError, no_model_may_run
from mechscope.model.transformer import HookedTransformer


def test_the_overlap_of_patterns_worked_out_by_hand() -> None:
    one = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    other = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert grading.overlap(one, other) == pytest.approx((0.5 + 1) / 2)


def test_a_program_is_graded_by_the_answers_of_the_model_and_not_by_the_rule() -> None:
    subject = challenge("brackets")
    everything = list(itertools.product("()", repeat=10))
    same_number = subject.grade_explanation(
        lambda tokens: "yes" if tokens.count("(") == 5 else "no", everything
    )
    assert same_number.passed
    assert same_number.score == 1
    # 252 inputs have five of each, and 42 of these balance: the rule and the model differ on 210.
    assert "and the true one on 79.5%" in same_number.words
    rule = subject.grade_explanation(subject.rule, everything)
    assert not rule.passed
    assert rule.score == pytest.approx(1 - 210 / 1024)
    assert "the model says 'yes', your program 'no'" in rule.words


def test_a_program_that_runs_a_model_is_refused() -> None:
    subject = challenge("palindromes")
    with pytest.raises(AskedTheModelError):
        subject.grade_explanation(lambda tokens: subject.answers([tokens])[0])
    # A copy is no way out, and afterwards models run again.
    other = copy.deepcopy(subject.model)
    with pytest.raises(AskedTheModelError), no_model_may_run():
        other(torch.tensor([[0, 1]]))
    assert subject.answers([tuple("abccba")]) == ["yes"]


def test_attention_is_graded_against_the_better_null() -> None:
    subject = challenge("maximum")
    inputs = subject.held_out(100)
    measured = dict(zip(inputs, subject.attention(inputs, 0, 0).tolist(), strict=True))
    perfect = subject.grade_attention(measured.__getitem__, (0, 0), inputs)
    assert perfect.score == pytest.approx(1, abs=1e-4)
    uniform = subject.grade_attention(lambda tokens: [0.1] * 10, (0, 0), inputs)
    assert uniform.score == pytest.approx(0, abs=1e-4)
    # What is right on average, whatever the input, is no prediction.
    average = torch.tensor(list(measured.values())).mean(0).tolist()
    assert subject.grade_attention(lambda tokens: average, (0, 0), inputs).score < 0.1
    short = subject.grade_attention(lambda tokens: [1.0], (0, 0), inputs)
    assert not short.passed
    assert "one number for each of 10 positions" in short.words
    large = subject.grade_attention(lambda tokens: [0.2] * 10, (0, 0), inputs)
    assert "adds up to 2" in large.words


def test_a_head_that_matters_is_confirmed_and_an_incomplete_list_is_not() -> None:
    subject = challenge("first_unique")
    inputs = subject.held_out(200)
    assert subject.grade_heads(subject.heads).passed
    assert not grading.grade_heads(subject, subject.heads[:-1], inputs).passed
    assert "has no head 5.0" in subject.grade_heads([(5, 0)]).words
    # Two heads of the reversal model do the same: neither is missed alone, and nothing works without both.
    twins = challenge("reversal")
    inputs = twins.held_out(200)
    assert "fewer than 2.0% of the answers change" in grading.grade_heads(twins, twins.heads, inputs).words
    assert not grading.grade_heads(twins, [], inputs).passed


def test_adversarial_inputs_must_be_different_and_valid() -> None:
    subject = challenge("brackets")
    wrong = [tuple(")()()()()("), tuple("())(()()()"), tuple("()())(()()")]
    assert subject.grade_adversarial(wrong, 3).score == 1
    assert not subject.grade_adversarial([wrong[0]] * 3, 3).passed
    mixed = subject.grade_adversarial([*wrong[:2], tuple("()()()()()")], 3)
    assert mixed.score == pytest.approx(2 / 3)
    assert "It is right about ( ) ( ) ( ) ( ) ( )" in mixed.words
    with pytest.raises(ValueError, match="takes 10 tokens"):
        subject.grade_adversarial([tuple("()")], 1)


def test_a_repair_must_not_break_what_worked() -> None:
    subject = challenge("majority")
    model = copy.deepcopy(subject.model)
    assert not subject.grade_repair(model).passed
    with torch.no_grad():
        model.unembed.b_U[1] += 30
    assert subject.grade_repair(model).passed
    with torch.no_grad():
        model.unembed.b_U[1] += 300
    assert not subject.grade_repair(model).passed
    # Accuracy where it was bad is not everything.
    subject = challenge("running_sum")
    kept = grading.grade_repair(
        subject, subject.model, subject.rule, subject.held_out(50), subject.held_out(50), needed=0.9
    )
    assert kept.passed
    lost = grading.grade_repair(
        subject.with_model(subject.model),
        _with_another_bias(subject.model),
        subject.rule,
        subject.held_out(200),
        [("3",) * 8],
        needed=0.9,
    )
    assert lost.score == 1
    assert not lost.passed


def _with_another_bias(model: HookedTransformer) -> HookedTransformer:
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.unembed.b_U[2] += 1000
    return changed
