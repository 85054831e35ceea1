"""Whether the scores of a label are still those of its store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mechscope.neuroscope.label_table import StoredLabel
    from mechscope.neuroscope.store import NeuroscopeStore

VERSION = 2
"""The version of the scores; older ones count as out of date."""


def harvest_of(store: NeuroscopeStore) -> dict[str, str]:
    """What tells one harvest of a store from another."""
    about = store.about
    return {"published": about.published, "weights": about.weights, "corpus": about.corpus}


def is_current(store: NeuroscopeStore, label: StoredLabel) -> bool:
    """Whether a label's scores are of what the store has now: the harvest or the scoring may have changed since."""
    scores = label.scores or {}
    return scores.get("harvest") == harvest_of(store) and scores.get("made by", {}).get("scores") == VERSION
