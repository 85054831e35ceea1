"""The drawn ladder has a row for each check that was made, also where its number is on another scale."""

from __future__ import annotations

import pytest

from mechscope.results import Provenance
from mechscope.techniques.redteam.evidence import Evidence, Rung


def _evidence(*rungs: Rung) -> Evidence:
    return Evidence("it works", "heads", rungs, Provenance("model", "task", 0))


LOGITS = Rung("something to explain", "?", "supports", "it does", 4.2168, 4.0, 4.4, "logits")
SHARE = Rung("beside layer-matched components", "?", "undermines", "no", 0.3, 0.2, 0.4, "of it")
IDLE = Rung("elsewhere", "?", "not run", "no other model")


def test_a_number_that_is_no_share_is_told_in_its_row() -> None:
    figure = _evidence(LOGITS, SHARE, IDLE).figure()
    assert list(figure.layout.yaxis.ticktext) == [
        "beside layer-<br>matched components",
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
