"""The strongest counterexamples to a rule, as they are stored with its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.neuroscope.labels.readings import Readings

SHOWN = 5
"""How many of each kind are kept."""
BEFORE, AFTER = 16, 6
"""How many tokens are kept before and after the one in question."""


def counterexamples(
    read: Readings,
    rows: Int[np.ndarray, " row"],
    which: Bool[np.ndarray, " row"],
    order: Float[np.ndarray, " row"],
    values: Float[np.ndarray, " row"],
) -> list[dict[str, Any]]:
    """Tokens with the text around them, one per document.

    Args:
        rows: the tokens that were tested, among all that were read.
        which: the tokens in question.
        order: those with the smallest numbers come first.
        values: the unit's activations.
    """
    sequence, document = read.sequence, read.document
    starts = np.cumsum([0, *(len(tokens) for tokens in read.texts)])
    found, used = list[dict[str, Any]](), set[int]()
    candidates = np.flatnonzero(which)
    for place in candidates[np.argsort(order[candidates], kind="stable")].tolist():
        row = int(rows[place])
        if (own := int(document[row])) in used:
            continue
        used.add(own)
        number = int(sequence[row])
        position = row - int(starts[number])
        first = max(0, position - BEFORE)
        found.append(
            {
                "document": read.documents[number],
                "tokens": list(read.texts[number][first : position + 1 + AFTER]),
                "focus": position - first,
                "value": float(values[place]),
            }
        )
        if len(found) == SHOWN:
            break
    return found
