"""Labels as pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechscope.neuroscope.labels.current import is_current
from mechscope.neuroscope.labels.evidence import HEADINGS, evidence_of
from mechscope.neuroscope.labels.rules import rule_in_words
from mechscope.neuroscope.messages import EvidencePart, LabelPart, ScorePart, context_part, finite

if TYPE_CHECKING:
    from mechscope.neuroscope.label_table import StoredLabel
    from mechscope.neuroscope.store import NeuroscopeStore


def label_part(store: NeuroscopeStore, label: StoredLabel, *, with_evidence: bool = False) -> LabelPart:
    """A label as it is sent.

    Args:
        with_evidence: whether the texts on which its rule and its unit disagree come with it.
    """
    scores = label.scores or {}
    is_old = "harvest" in scores and not is_current(store, label)
    changed = " The harvest or the test has changed since: test it again." if is_old else ""
    evidence = evidence_of(scores) if with_evidence else {}
    return LabelPart(
        id=label.id,
        site=label.address.site,
        unit=label.address.unit,
        text=label.label,
        rule=rule_in_words(label.rule_kind, label.rule),
        verdict=str(scores.get("verdict", "")),
        because=f"{scores.get('because', '')}{changed}",
        scores=_scores(scores),
        created=label.created,
        scored=str(scores.get("scored", "")),
        evidence=tuple(
            EvidencePart(kind=kind, heading=HEADINGS[kind], contexts=tuple(map(context_part, contexts)))
            for kind, contexts in evidence.items()
        ),
    )


def _scores(scores: Mapping[str, Any]) -> tuple[ScorePart, ...]:
    """The numbers among the scores, and the p-value of the comparison with other units."""
    numbers = {name: value for name, value in scores.items() if isinstance(value, float)}
    if null := scores.get("null"):
        numbers["p"] = null["p"]
    intervals: Mapping[str, tuple[float, float]] = scores.get("intervals", {})
    return tuple(
        ScorePart(name=name, value=finite(value), low=_end(intervals, name, 0), high=_end(intervals, name, 1))
        for name, value in numbers.items()
    )


def _end(intervals: Mapping[str, tuple[float, float]], name: str, which: int) -> float | None:
    return finite(intervals[name][which]) if name in intervals else None
