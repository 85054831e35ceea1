"""Texts on which a rule and a unit disagree or nearly do, as they are stored with a label's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.neuroscope.labels.readings import Readings
from mechscope.neuroscope.units import Context

MISSED, FALSE_ALARMS, NEAR_MISSES = "missed", "false alarms", "near misses"
HEADINGS: Mapping[str, str] = {
    MISSED: "It fires here, but the rule does not match",
    FALSE_ALARMS: "The rule matches here, but it does not fire",
    NEAR_MISSES: "Near misses: it fires on the same token elsewhere, but not here, and the rule does not match",
}
"""The kinds of evidence, by their names among the scores, in the order in which they are shown."""
SHOWN = 5
"""How many of each kind are kept."""
BEFORE, AFTER = 16, 6
"""How many tokens are kept before and after the one in question."""


def evidence_of(scores: Mapping[str, Any] | None) -> dict[str, tuple[Context, ...]]:
    """The evidence among the scores of a label, by its kind; kinds without any are left out."""
    kinds = {kind: tuple(map(_context, (scores or {}).get(kind, ()))) for kind in HEADINGS}
    return {kind: contexts for kind, contexts in kinds.items() if contexts}


def _context(stored: Mapping[str, Any]) -> Context:
    tokens, focus = tuple(stored["tokens"]), int(stored["focus"])
    # Scores of early versions have the activation at one token only.
    unknown = [stored["value"] if place == focus else float("nan") for place in range(len(tokens))]
    values = tuple(map(float, stored.get("values", unknown)))
    return Context("random", float(stored["value"]), stored["document"], tokens, values, focus)


def collect_evidence(
    read: Readings,
    unit: int,
    rows: Int[np.ndarray, " row"],
    fires: Bool[np.ndarray, " row"],
    matches: Bool[np.ndarray, " row"],
    near: Bool[np.ndarray, " row"],
) -> dict[str, list[dict[str, Any]]]:
    """The evidence of all kinds, as it is stored: where the unit fires, the strongest; elsewhere, the most silent.

    Args:
        read: what the unit did on all text that was read.
        unit: the unit.
        rows: the tokens that evidence may come from, among all that were read.
        fires: whether the unit fires at each of them.
        matches: whether the rule matches.
        near: whether the unit is silent there, but fires on an equal token elsewhere.
    """
    values = read.of(unit)
    return {
        MISSED: _examples(read, values, rows[fires & ~matches], strongest=True),
        FALSE_ALARMS: _examples(read, values, rows[~fires & matches], strongest=False),
        NEAR_MISSES: _examples(read, values, rows[near & ~matches], strongest=False),
    }


def _examples(
    read: Readings, values: Float[np.ndarray, " token"], rows: Int[np.ndarray, " row"], *, strongest: bool
) -> list[dict[str, Any]]:
    """Some of these tokens with the text around them, one per document."""
    starts = np.cumsum([0, *(len(tokens) for tokens in read.texts)])
    sequence, document = read.sequence, read.document
    found, used = list[dict[str, Any]](), set[int]()
    for row in rows[np.argsort(-values[rows] if strongest else values[rows], kind="stable")].tolist():
        if (own := int(document[row])) in used:
            continue
        used.add(own)
        number = int(sequence[row])
        position = row - int(starts[number])
        first, last = max(0, position - BEFORE), position + 1 + AFTER
        tokens = read.texts[number][first:last]
        around = values[starts[number] + first :][: len(tokens)]
        found.append(
            {
                "document": read.documents[number],
                "tokens": list(tokens),
                "focus": position - first,
                "value": float(values[row]),
                "values": _short(around),
            }
        )
        if len(found) == SHOWN:
            break
    return found


def _short(values: Float[np.ndarray, " token"]) -> Sequence[float]:
    """With four digits, which is enough for colours."""
    return [float(f"{value:.4g}") for value in values.tolist()]
