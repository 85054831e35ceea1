"""The final figure of unit A."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mechscope.course.challenges.challenge import challenge
from mechscope.course.units.algorithmic import figure, reference


def test_the_repair_puts_the_missing_step_on_the_line_and_reproduces_the_number() -> None:
    drawn = figure.draw(reference)
    assert drawn.is_reproduced
    assert (
        drawn.number_is in "the share of inputs with all seven steps whose sign the repaired model gets right"
    )
    before, after = (list(trace.y) for trace in drawn.figure.data)
    assert before[:6] == pytest.approx(after[:6])
    assert after == pytest.approx([-3, -2, -1, 0, 1, 2, 3], abs=0.4)
    assert before[6] < 0.5


def test_without_a_repair_the_number_is_not_reproduced() -> None:
    unrepaired = figure.draw(SimpleNamespace(repair_running_sum=lambda model: model))
    assert not unrepaired.is_reproduced
    assert unrepaired.number == pytest.approx(
        challenge("running_sum").accuracy(challenge("running_sum").held_out(figure.INPUTS, wide=True))
    )
