"""The search box of the neuroscope: units by their labels, by the token on which they fire, and by their texts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mechscope.neuroscope.messages import Finding, Findings
from mechscope.neuroscope.queries import find_by_text, find_by_token

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore
    from mechscope.neuroscope.units import UnitAddress

MOST = 40
"""Units per kind of finding."""
SHOWN = 90
"""Characters of a text that are shown."""


def found_units(store: NeuroscopeStore, words: str) -> Findings:
    """The units that some words find, each once: by labels, then by tokens, then by texts."""
    found: dict[UnitAddress, str] = {}
    more = False
    # Without a letter or digit there is nothing to look up in texts, but "(" may still be a token.
    with suppress(ValueError):
        labels = store.labels.search(words, MOST + 1)
        more |= len(labels) > MOST
        for label in labels[:MOST]:
            found.setdefault(label.address, f"label: {label.label}")
    with suppress(KeyError):
        units = find_by_token(store, words, MOST + 1)
        more |= len(units) > MOST
        for unit in units[:MOST]:
            found.setdefault(
                unit.address, f"{unit.contexts} of its {unit.of} strongest texts were kept for this token"
            )
    with suppress(ValueError):
        texts = find_by_text(store, words, MOST + 1)
        more |= len(texts) > MOST
        for text in texts[:MOST]:
            found.setdefault(text.address, _around(text.example, words))
    return Findings(
        found=tuple(Finding(site=address.site, unit=address.unit, why=why) for address, why in found.items()),
        more=more,
    )


def _around(text: str, words: str) -> str:
    """The part of a text that has the first of the words."""
    first = words.strip('" ').split()[0].lower()
    at = max(text.lower().find(first) - SHOWN // 3, 0)
    return text[at : at + SHOWN]
