"""Unit R: the figure finds that the word "last" does not survive."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from mechscope.course.units.research import figure, reference


def test_the_figure_reproduces_its_number_and_undermines_the_claim() -> None:
    drawn = figure.draw(reference)
    assert drawn.is_reproduced
    by_verdict = {trace["name"]: trace["y"] for trace in drawn.figure.to_dict()["data"]}
    assert set(by_verdict["undermines"]) == {"agrees on edited prompts", "against first occurrence"}


def test_a_wrong_function_does_not_reproduce_it() -> None:
    functions = {name: getattr(reference, name) for name in figure.USES}
    exchanged = functions | {"sides_with": lambda model, one, other: reference.sides_with(model, other, one)}
    assert not figure.draw(SimpleNamespace(**exchanged)).is_reproduced


def test_one_edit_makes_the_second_occurrence() -> None:
    prompts, edited = figure._prompts(torch.Generator().manual_seed(0))
    assert bool(((prompts == prompts[:, -1:]).sum(1) == 2).all())
    assert bool(((edited == edited[:, -1:]).sum(1) == 3).all())
    assert bool(((prompts != edited).sum(1) == 1).all())
    assert bool((reference.induction(edited) != reference.first_occurrence(edited)).all())
