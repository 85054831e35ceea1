"""Unit 04: the figure finds the twin's circuit with right functions, and says so if one of them is wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mechscope.course.units.ioi import figure, mistakes_in_judging, reference


def test_the_figure_reproduces_its_number() -> None:
    drawn = figure.draw(reference)
    assert drawn.is_reproduced
    circuit, nulls = drawn.figure.to_dict()["data"][1:]
    assert circuit["name"] == "your circuit: a0.h0, a0.h3, a2.h1"
    assert len(nulls["y"]) == figure.NULLS
    assert max(nulls["y"]) < 0.5 < drawn.number


def test_a_wrong_function_does_not_reproduce_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "NULLS", 2)
    monkeypatch.setattr(figure, "PROMPTS", 32)
    functions = {name: getattr(reference, name) for name in figure.USES}
    wrong = next(
        mistake.function
        for mistake in mistakes_in_judging.MISTAKES["circuit_logits"]
        if mistake.function.__name__ == "_circuit_silenced"
    )
    assert not figure.draw(SimpleNamespace(**functions | {"circuit_logits": wrong})).is_reproduced
