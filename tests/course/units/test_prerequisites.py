"""What is special about unit P."""

from __future__ import annotations

import re

import plotly.graph_objects as go
import pytest
import torch

from mechscope.course.checking import check_function
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.unit import find_exercises, find_unit
from mechscope.course.units.prerequisites import checks, reference

CONCEPTS = (
    "Basis", "Change of basis", "No canonical basis", "Linear map", "Singular value decomposition (SVD)",
    "Orthonormal matrix", "Eigenvector", "Random variable", "Expectation", "Variance", "Normal distribution",
    "Log-likelihood", "MLE and MAP", "Central limit theorem", "Gradient", "Chain rule", "Backpropagation",
)  # fmt: skip


def test_every_concept_has_a_card_with_a_meaning_a_reason_and_a_trap() -> None:
    text = find_unit("P").lesson_text.split("## Concept cards")[1]
    _, *cards = re.split(r"^### ", text, flags=re.MULTILINE)
    assert tuple(card.splitlines()[0] for card in cards) == CONCEPTS
    for card in cards:
        assert [line[:6] for line in card.splitlines() if line.startswith("- ")] == [
            "- *Wha",
            "- *Why",
            "- *Tra",
        ], card


def test_a_unit_without_cards_has_its_lesson_alone() -> None:
    unit = find_unit("T")
    assert unit.lesson_text == unit.lesson.read_text(encoding="utf-8")


def test_a_loop_in_a_drill_is_noticed_however_it_is_written() -> None:
    def with_a_comprehension(x: torch.Tensor, size: int) -> torch.Tensor:
        return torch.stack([x[:, i : i + size].mean(1) for i in range(0, x.shape[1], size)], 1)

    def with_view(x: torch.Tensor, size: int) -> torch.Tensor:
        return x.view(x.shape[0], -1, size, x.shape[2]).mean(2)

    exercise = find_exercises("P.mean_of_windows")[0]
    result = check_function(exercise, with_a_comprehension, 3)
    assert result.status == "failed"
    assert result.problem.startswith("The answer is right, but it took ")
    # The right answer without einops is no loop.
    assert check_function(exercise, with_view, 3).status == "passed"


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (None, "A plotly Figure is expected, not None."),
        ({"data": []}, "A plotly Figure is expected, not a dict."),
        (go.Figure(go.Bar(y=[1, 2])), "The figure has 0 lines."),
    ],
)
def test_what_is_no_figure_of_two_lines_is_refused(figure: object, words: str) -> None:
    trial = Trial(lambda train, test, title: figure, reference.make_figure, (), 0)
    with pytest.raises(CheckFailedError) as failed:
        checks.check_make_figure(trial)
    assert failed.value.problem == words


def test_a_figure_may_be_made_in_other_ways() -> None:
    def as_lists(train: list[float], test: list[float], title: str) -> go.Figure:
        lines = [go.Scatter(y=test, name="test"), go.Scatter(y=train, name="train")]
        return go.Figure(lines).update_layout(title=title, xaxis_title="Step", yaxis_title="Loss in nats")

    assert check_function(find_exercises("P.make_figure")[0], as_lists, 5).status == "passed"
