"""What a harvest must find, computed in the plainest way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mechscope.neuroscope.settings import HarvestSettings


@dataclass
class ReadSequence:
    """A sequence and what was read on it."""

    id: int
    document: str
    tokens: list[int]
    values: np.ndarray
    """[pos unit]"""
    counts: np.ndarray
    """[pos]"""


@dataclass(frozen=True)
class Found:
    """A context as a harvest should keep it."""

    value: float
    sequence: int
    position: int
    window: tuple[float, ...]


def contexts(
    read: Sequence[ReadSequence], unit: int, settings: HarvestSettings, sign: int, *, one_sided: bool
) -> list[Found]:
    """The best contexts of a unit: one per document, one per text before the token, the best first."""
    per_document: dict[str, tuple[float, int, int, ReadSequence]] = {}
    for sequence in read:
        for position, value in enumerate(sequence.values[:, unit].tolist()):
            if not sequence.counts[position] or (one_sided and value <= 0):
                continue
            candidate = (-sign * value, sequence.id, position, sequence)
            known = per_document.get(sequence.document)
            if known is None or candidate[:3] < known[:3]:
                per_document[sequence.document] = candidate
    found, seen = list[Found](), set[tuple[int, ...]]()
    for negative, identity, position, sequence in sorted(per_document.values(), key=lambda one: one[:3]):
        text = tuple(sequence.tokens[max(0, position + 1 - settings.same) : position + 1])
        if text not in seen:
            seen.add(text)
            found.append(
                Found(-sign * negative, identity, position, _window(sequence, position, unit, settings))
            )
    return found[: settings.top if sign == 1 else settings.low]


def _window(sequence: ReadSequence, position: int, unit: int, settings: HarvestSettings) -> tuple[float, ...]:
    window = list[float]()
    for place in range(position - settings.before, position + settings.after + 1):
        inside = 0 <= place < len(sequence.tokens)
        window.append(float(np.float16(sequence.values[place, unit])) if inside else 0.0)
    return tuple(window)


def counted(read: Sequence[ReadSequence]) -> np.ndarray:
    """The activations at tokens that count [token unit], in float64."""
    return np.concatenate([one.values[one.counts] for one in read]).astype(np.float64)
