"""Mystery models: their circuit is the one that was compiled, and nothing in the object gives it away."""

from __future__ import annotations

import dataclasses
import random

import pytest

from mechscope.course.challenges import mystery as mysteries
from mechscope.course.challenges.mystery import GRADERS, every_input, mystery, true_heads, true_program
from mechscope.planted import evaluate

SEEDS = range(6)


def _some(seed: int, n: int = 400) -> list[tuple[str, ...]]:
    return random.Random(seed).sample(every_input(mystery(seed)), n)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mystery_model_follows_its_program_and_its_heads_are_those_that_matter(seed: int) -> None:
    subject, inputs = mystery(seed), _some(seed)
    program = true_program(seed)
    answers = subject.answers(inputs)
    assert answers == [evaluate(program.program, row)[-1] for row in inputs]
    departures = sum(
        evaluate(program.rule, row)[-1] != answer for row, answer in zip(inputs, answers, strict=True)
    )
    assert 0 < departures < len(inputs) / 15
    idle = [head for head in subject.heads if head not in true_heads(seed)]
    assert len(idle) >= 4
    assert subject.answers_without(inputs, idle) == answers
    for head in true_heads(seed):
        assert subject.answers_without(inputs, [head]) != answers


@pytest.fixture
def few_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grades look at 1,000 inputs, which is quicker than all 15,625."""
    monkeypatch.setattr(
        mysteries, "every_input", lambda subject: random.Random(0).sample(every_input(subject), 1000)
    )
    monkeypatch.setattr(mysteries, "SHOWN", 300)


def test_the_object_holds_no_program_and_no_circuit() -> None:
    subject = mystery(3)
    allowed = {"name", "model", "vocabulary", "alphabet", "outputs", "length", "ending"}
    assert {field.name for field in dataclasses.fields(subject)} == allowed
    words = true_program(3).program.description.split(".")[0]
    assert words not in repr(subject)
    assert words not in repr(vars(subject.model.cfg))


def test_a_right_solution_passes_all_four_parts(few_inputs: None) -> None:
    seed = 3
    subject, program = mystery(seed), true_program(3)
    inputs = mysteries.every_input(subject)
    measured = {
        head: dict(zip(inputs, subject.attention(inputs, *head).tolist(), strict=True))
        for head in true_heads(seed)
    }
    departing = [
        row for row in inputs if evaluate(program.program, row)[-1] != evaluate(program.rule, row)[-1]
    ]
    answers = dict(zip(inputs, subject.answers(inputs), strict=True))
    right = {
        "explain": answers.__getitem__,
        "heads": lambda: true_heads(seed),
        "attention": lambda layer, head, tokens: measured[layer, head][tokens],
        "exceptions": lambda n: departing[:n],
    }
    assert right.keys() == GRADERS.keys()
    for part, function in right.items():
        assert GRADERS[part](seed, function).passed, part


def test_what_is_almost_right_does_not_pass(few_inputs: None) -> None:
    seed = 4
    program = true_program(seed)
    without_exception = GRADERS["explain"](seed, lambda tokens: evaluate(program.rule, tokens)[-1])
    assert 0.9 < without_exception.score < 0.999
    assert not without_exception.passed
    rare = min(true_heads(seed), key=lambda head: _effect(seed, head))
    assert not GRADERS["heads"](seed, lambda: [head for head in true_heads(seed) if head != rare]).passed
    assert not GRADERS["heads"](seed, lambda: mystery(seed).heads).passed
    assert not GRADERS["attention"](seed, lambda layer, head, tokens: [1 / 7] * 7).passed
    assert not GRADERS["exceptions"](seed, lambda n: _some(seed, n)).passed


def _effect(seed: int, head: tuple[int, int]) -> int:
    subject, inputs = mystery(seed), _some(seed)
    return sum(
        one != other
        for one, other in zip(subject.answers(inputs), subject.answers_without(inputs, [head]), strict=True)
    )


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        mystery(-1)
