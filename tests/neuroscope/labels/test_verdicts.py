import math

import pytest

from mechscope.neuroscope.labels.detector import Detection, Estimate
from mechscope.neuroscope.labels.null import Null
from mechscope.neuroscope.labels.verdicts import (
    verdict_on_matches,
    verdict_on_numbers,
    verdict_on_text,
    verdict_on_unit,
)
from mechscope.neuroscope.units import UnitStatistics


def unit(maximum: float = 2.0, variance: float = 1.0) -> UnitStatistics:
    return UnitStatistics(1000, 0.1, 0.5, variance, 0.0, 0.0, maximum, 0.0)


def around(value: float, width: float = 0.05) -> Estimate:
    return Estimate(value, value - width, value + width)


@pytest.mark.parametrize(
    ("precision", "recall", "p", "width", "word", "reason"),
    [
        (0.8, 0.8, 0.01, 0.05, "holds", "finds 80%"),
        (0.8, 0.8, 0.01, 0.4, "cannot tell", "Read more text"),
        (0.8, 0.8, 0.2, 0.05, "does not hold", "no better than chance: other units"),
        (0.6, 0.6, 0.01, 0.05, "holds in part", "finds 60%"),
        (0.9, 0.2, 0.01, 0.05, "holds in part", "misses most"),
        (0.9, 0.06, 0.01, 0.7, "cannot tell", "so few cases that an interval reaches below 0.25"),
        (0.6, 0.6, 0.01, 0.4, "cannot tell", "reaches below 0.25"),
        (0.2, 0.9, 0.01, 0.05, "holds in part", "too broad"),
        (0.05, 0.9, 0.01, 0.05, "does not hold", "has something to do with the unit"),
        (0.9, 0.04, 0.05, 0.05, "does not hold", "p = 0.05"),
    ],
)
def test_verdicts_on_numbers(precision, recall, p, width, word, reason):
    found = Detection(around(0.8), None, around(precision, width), around(recall, width))
    verdict = verdict_on_numbers(found, Null("other units", 0.5, p, (p,), 99))
    assert verdict.word == word and reason in verdict.because


def test_units_texts_and_rules_that_make_a_test_senseless():
    assert verdict_on_unit(unit(), 0.5, 0.1) is None
    for statistics, rate, words in (
        (unit(maximum=-0.5), 0.0, "never fires: its highest activation in 1,000 tokens is -0.5"),
        (unit(variance=0.0), 0.0, "is 0.5 at every token"),
        (unit(), 0.7, "fires at 70% of all tokens"),
    ):
        verdict = verdict_on_unit(statistics, 0.0, rate)
        assert verdict is not None and verdict.word == "cannot tell" and words in verdict.because
    assert verdict_on_text(20, 5, 1000) is None
    for firing, documents in ((19, 5), (50, 4), (1, 1)):
        verdict = verdict_on_text(firing, documents, 1000)
        assert verdict is not None and verdict.word == "cannot tell" and "Read more text" in verdict.because
    assert verdict_on_matches(500, 1000, 20) is None
    for matches, words in ((0, "matches none of 1,000"), (950, "matches 95% of all tokens")):
        verdict = verdict_on_matches(matches, 1000, 20)
        assert verdict is not None and verdict.word == "does not hold" and words in verdict.because


def test_an_interval_that_is_not_known_is_no_proof():
    nan = Estimate(0.9, math.nan, math.nan)
    verdict = verdict_on_numbers(
        Detection(around(0.9), None, nan, nan), Null("other units", 0.5, 0.01, (0.01,), 99)
    )
    assert verdict.word == "cannot tell"
