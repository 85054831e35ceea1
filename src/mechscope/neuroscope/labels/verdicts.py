"""Whether a label holds, in words. The limits are conventions, not facts; the scores are shown beside the verdict.

| verdict | when |
|---|---|
| holds | precision and recall are at least 0.7, the lower ends of their intervals at least 0.5, and p ≤ 0.05 |
| holds in part | p ≤ 0.05, and: precision ≥ 0.5 with recall ≥ 0.05, or recall ≥ 0.5 with precision ≥ 0.1; and the lower
end of the interval of whichever is at least 0.5 is at least 0.25 |
| does not hold | all other cases, and rules that match nothing or nearly everything |
| cannot tell | the unit never or very often fires, or there is too little text for an answer |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mechscope.neuroscope.labels.detector import Detection
from mechscope.neuroscope.labels.null import Null
from mechscope.neuroscope.units import UnitStatistics

Word = Literal["holds", "holds in part", "does not hold", "cannot tell"]
FEWEST_FIRING = 20
"""With fewer firing tokens, nothing is said."""
FEWEST_DOCUMENTS = 5
"""With firing tokens in fewer documents, nothing is said."""
ALWAYS = 0.5
"""A unit that fires at this share of tokens has no sensible opposite."""
NEARLY_ALL = 0.9
"""A rule that matches this share of tokens says nothing."""
GOOD, SURE = 0.7, 0.5
"""What holds has at least so much precision and recall, with intervals that do not reach lower than the second."""
FAIR, FAIRLY_SURE = 0.5, 0.25
"""The same for what holds in part, of one of the two numbers. A rule with two matches has a precision of 1 if the unit
happens to fire at both."""
CHANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """Whether a label holds."""

    word: Word
    because: str
    """Why, as a sentence."""


def verdict_on_unit(statistics: UnitStatistics, threshold: float, rate: float) -> Verdict | None:
    """Why no label of a unit can be tested; None if it can."""
    if not statistics.variance:
        return Verdict(
            "cannot tell",
            f"The unit is {statistics.mean:.3g} at every token, so there is nothing to predict.",
        )
    if statistics.maximum <= threshold:
        return Verdict(
            "cannot tell",
            f"The unit never fires: its highest activation in {statistics.tokens:,} tokens is "
            f"{statistics.maximum:.3g}, and it counts as firing above {threshold:.3g}.",
        )
    if rate >= ALWAYS:
        return Verdict(
            "cannot tell",
            f"The unit fires at {rate:.0%} of all tokens (above {threshold:.3g}), so nearly any rule would fit. Choose "
            "a higher threshold to ask where it is strong.",
        )
    return None


def verdict_on_text(firing: int, documents: int, tokens: int) -> Verdict | None:
    """Why there is too little text; None if there is enough."""
    if firing >= FEWEST_FIRING and documents >= FEWEST_DOCUMENTS:
        return None
    return Verdict(
        "cannot tell",
        f"The unit fires at {_tokens(firing)} in {documents} of the documents that its page does not show ({tokens:,} "
        f"tokens); at least {FEWEST_FIRING} in {FEWEST_DOCUMENTS} are needed. Read more text.",
    )


def verdict_on_matches(matches: int, tokens: int, firing: int) -> Verdict | None:
    """Whether a rule matches nothing or nearly everything; None if not."""
    if not matches:
        return Verdict(
            "does not hold",
            f"The rule matches none of {tokens:,} tokens, though the unit fires at {firing:,} of them.",
        )
    if matches >= NEARLY_ALL * tokens:
        return Verdict(
            "does not hold",
            f"The rule matches {matches / tokens:.0%} of all tokens, so it would fit any unit.",
        )
    return None


def verdict_on_numbers(found: Detection, null: Null) -> Verdict:
    """The verdict on a rule that could be tested."""
    precision, recall = found.precision, found.recall
    finds = f"The rule finds {recall.value:.0%} of the tokens at which the unit fires"
    right = f"the unit fires at {precision.value:.0%} of its matches"
    if null.p > CHANCE:
        return Verdict(
            "does not hold",
            f"{finds}, and {right}. That is no better than chance: {_compared(null)} (p = {null.p:.2g}).",
        )
    if min(precision.value, recall.value) >= GOOD:
        return _if_sure("holds", f"{finds}, and {right}", min(precision.low, recall.low), SURE)
    if min(precision.value, recall.value) >= FAIR:
        return _if_sure("holds in part", f"{finds}, and {right}", min(precision.low, recall.low), FAIRLY_SURE)
    if precision.value >= FAIR and recall.value >= 0.05:
        partly = f"{finds}: it misses most. Where it matches, it is mostly right: {right}"
        return _if_sure("holds in part", partly, precision.low, FAIRLY_SURE)
    if recall.value >= FAIR and precision.value >= 0.1:
        return _if_sure("holds in part", f"{finds}, but it is too broad: {right}", recall.low, FAIRLY_SURE)
    return Verdict(
        "does not hold",
        f"{finds}, and {right}. It has something to do with the unit (AUC {found.auc.value:.2f}, p = {null.p:.2g}), "
        "but does not say what makes it fire.",
    )


def _if_sure(word: Word, because: str, low: float, sure: float) -> Verdict:
    """A verdict, unless the lower end of an interval is too low, or not known."""
    if low >= sure:
        return Verdict(word, f"{because}.")
    return Verdict(
        "cannot tell",
        f"{because}. But there are so few cases that an interval reaches below {sure}. Read more text.",
    )


def _compared(null: Null) -> str:
    if null.kind == "other units":
        return (
            f"other units of the site, which fire about as often, have a median AUC of {null.median_auc:.2f}"
        )
    return f"the unit's own activations, moved along the text, have a median AUC of {null.median_auc:.2f}"


def _tokens(number: int) -> str:
    return f"{number:,} {'token' if number == 1 else 'tokens'}"
