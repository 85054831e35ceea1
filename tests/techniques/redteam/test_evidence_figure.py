"""The drawn ladder has a row for each check that was made, also where its number is on another scale."""

from __future__ import annotations

import importlib

import pytest

from mechscope.results import Provenance
from mechscope.techniques.redteam.evidence import Check, Evidence


def _evidence(*checks: Check) -> Evidence:
    return Evidence("it works", "heads", checks, Provenance("model", "task", 0))


LOGITS = Check("something to explain", "?", "supports", "it does", 4.2168, 4.0, 4.4, "logits")
SHARE = Check("beats layer-matched components", "?", "undermines", "no", 0.3, 0.2, 0.4, "of it")
IDLE = Check("elsewhere", "?", "not run", "no other model")


def test_a_number_that_is_no_share_is_told_in_its_row() -> None:
    figure = _evidence(LOGITS, SHARE, IDLE).figure()
    assert list(figure.layout.yaxis.ticktext) == [
        "beats layer-<br>matched components",
        "something to<br>explain",
    ]
    (dots,) = figure.data
    assert (list(dots.x), list(dots.y)) == ([0.3], [0])
    (words,) = figure.layout.annotations
    assert (words.text, words.y) == ("4.22 logits: supports", 1)
    assert figure.layout.xaxis.title.text == "share or accuracy"


def test_where_there_are_no_shares_the_axis_says_so() -> None:
    figure = _evidence(LOGITS).figure()
    (dots,) = figure.data
    assert list(dots.x) == [4.2168]
    assert not figure.layout.annotations
    assert figure.layout.xaxis.title.text == "logits"


def test_what_measured_nothing_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        _evidence(IDLE).figure()


def test_old_names_still_work_with_a_warning() -> None:
    evidence = _evidence(LOGITS, SHARE)
    with pytest.warns(DeprecationWarning, match="use checks"):
        assert evidence.rungs == evidence.checks
    with pytest.warns(DeprecationWarning, match="'beats layer-matched components'"):
        assert evidence["beside layer-matched components"] is evidence[SHARE.name]
    package = importlib.import_module("mechscope.techniques.redteam")
    with pytest.warns(DeprecationWarning, match="use mechscope.techniques.redteam.Check"):
        assert package.Rung is Check
