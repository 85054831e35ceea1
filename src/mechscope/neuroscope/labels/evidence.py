"""Texts on which a rule and a unit disagree or nearly do, as they are stored with a label's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.neuroscope.units import Context

if TYPE_CHECKING:
    # Not at run time: reading what is stored needs no torch.
    from mechscope.neuroscope.labels.readings import Readings

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
    firing_on: Mapping[str, int],
) -> dict[str, list[dict[str, Any]]]:
    """The evidence of all kinds, as it is stored.

    Missed are the strongest; false alarms the most silent. Near misses are on the tokens on which the unit fires most
    often, the most silent one for each token.

    Args:
        read: what the unit did on all text that was read.
        unit: the unit.
        rows: the tokens that evidence may come from, among all that were read.
        fires: whether the unit fires at each of them.
        matches: whether the rule matches.
        firing_on: how often the unit fires on each token.
    """
    values = read.of(unit)
    tokens = [token for tokens in read.texts for token in tokens]
    often = np.array([firing_on.get(tokens[row], 0) for row in rows.tolist()], np.int64)
    near = ~fires & ~matches & (often > 0)
    return {
        MISSED: _examples(read, values, _ordered(rows, fires & ~matches, -values[rows])),
        FALSE_ALARMS: _examples(read, values, _ordered(rows, ~fires & matches, values[rows])),
        NEAR_MISSES: _examples(read, values, _ordered(rows, near, values[rows], -often), one_per_token=True),
    }


def _ordered(
    rows: Int[np.ndarray, " row"], which: Bool[np.ndarray, " row"], *keys: np.ndarray
) -> Int[np.ndarray, " chosen"]:
    """Some of the rows, sorted by the last key first."""
    return rows[which][np.lexsort([key[which] for key in keys])]


def _examples(
    read: Readings,
    values: Float[np.ndarray, " token"],
    rows: Int[np.ndarray, " row"],
    *,
    one_per_token: bool = False,
) -> list[dict[str, Any]]:
    """The first of these tokens with the text around them, one per document."""
    starts = np.cumsum([0, *(len(tokens) for tokens in read.texts)])
    sequence, document = read.sequence, read.document
    found, used = list[dict[str, Any]](), set[int | str]()
    for row in rows.tolist():
        number = int(sequence[row])
        position = row - int(starts[number])
        own = {int(document[row]), *([read.texts[number][position]] if one_per_token else [])}
        if own & used:
            continue
        used |= own
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
