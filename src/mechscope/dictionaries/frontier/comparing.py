"""Compare frontiers: the error of each architecture at equal L0, interpolated between its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from mechscope.dictionaries.frontier.points import Sweep

REFERENCE = "relu"
"""What the others are held against."""


class Measured(Protocol):
    """A dictionary that was measured."""

    @property
    def l0(self) -> float:
        """Active features an example."""
        ...

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained."""
        ...


M = TypeVar("M", bound=Measured)


def at_l0(points: Iterable[M], l0: float, measure: Callable[[M], float] = lambda p: p.fvu) -> float | None:
    """A measure at an L0 between two points; None outside of them.

    Between neighbours the logarithm of a positive measure is taken to be straight in the logarithm of L0; a measure
    that is not positive everywhere is taken to be straight itself.
    """
    line = sorted((point.l0, measure(point)) for point in points if point.l0 > 0)
    for (low, first), (high, second) in pairwise(line):
        if low <= l0 <= high:
            share = math.log(l0 / low) / math.log(high / low) if high > low else 0.0
            if first > 0 and second > 0:
                return first ** (1 - share) * second**share
            return (1 - share) * first + share * second
    return None


@dataclass(frozen=True)
class AtL0:
    """One architecture at one L0."""

    architecture: str
    """Which."""
    l0: float
    """Where."""
    fvu: tuple[float, ...]
    """FVU of each seed whose frontier reaches there."""
    ratio: tuple[float, ...]
    """FVU over the reference's of the same seed, where both reach there."""

    @property
    def mean(self) -> float | None:
        """Mean FVU; None if no seed reaches this L0."""
        return sum(self.fvu) / len(self.fvu) if self.fvu else None

    @property
    def mean_ratio(self) -> float | None:
        """Geometric mean of the ratios."""
        return math.exp(sum(map(math.log, self.ratio)) / len(self.ratio)) if self.ratio else None


def compare(sweep: Sweep, levels: Sequence[float]) -> list[AtL0]:
    """Every architecture at every L0, by L0 and then in the sweep's order."""
    found: list[AtL0] = []
    for l0 in levels:
        reference = {seed: at_l0(sweep.of(REFERENCE, seed), l0) for seed in sweep.config.seeds}
        for architecture in sweep.architectures:
            mine = {seed: at_l0(sweep.of(architecture, seed), l0) for seed in sweep.config.seeds}
            values = {seed: value for seed, value in mine.items() if value is not None}
            ratios = [
                value / below for seed, value in values.items() if (below := reference[seed]) is not None
            ]
            found.append(AtL0(architecture, l0, tuple(values.values()), tuple(ratios)))
    return found


def levels_of(sweep: Sweep, most: int = 5) -> list[float]:
    """Round values of L0 that the reference (or, without it, anybody) and one more reach in every seed; `most` of them.

    They are spread evenly over those that there are.
    """

    def reaches(architecture: str, l0: float) -> bool:
        return all(at_l0(sweep.of(architecture, seed), l0) is not None for seed in sweep.config.seeds)

    levels: list[float] = []
    for l0 in (part * 2.0**power for power in range(12) for part in (1, 1.25, 1.5)):
        reached = [architecture for architecture in sweep.architectures if reaches(architecture, l0)]
        if len(reached) >= 2 and (REFERENCE in reached or REFERENCE not in sweep.architectures):
            levels.append(l0)
    if len(levels) <= most:
        return levels
    return [levels[round(place * (len(levels) - 1) / (most - 1))] for place in range(most)]


@dataclass(frozen=True)
class Expected:
    """What the literature says about two architectures: at equal L0 the first leaves less variance unexplained."""

    better: str
    """The first."""
    worse: str
    """The second."""
    source: str
    """Who says so."""


EXPECTED = (
    Expected("topk", "relu", "Gao et al. 2024"),
    Expected("gated", "relu", "Rajamanoharan et al. 2024a"),
    Expected("jumprelu", "gated", "Rajamanoharan et al. 2024b"),
    Expected("jumprelu", "topk", "Rajamanoharan et al. 2024b"),
    Expected("batch_topk", "topk", "Bussmann et al. 2024"),
    Expected("batch_topk", "matryoshka", "Bussmann et al. 2025"),
)
"""Orders that were published, on activations of language models."""


@dataclass(frozen=True)
class Order:
    """Two architectures at every L0 and seed at which both can be read off."""

    expected: Expected
    """What was expected."""
    ratios: tuple[float, ...]
    """FVU of the first over that of the second; below 1 is as expected."""

    @property
    def agreeing(self) -> int:
        """At how many of them the first is better."""
        return sum(ratio < 1 for ratio in self.ratios)

    @property
    def verdict(self) -> str:
        """In a word."""
        if not self.ratios:
            return "not compared"
        if self.agreeing == len(self.ratios):
            return "agrees"
        return "the other way round" if not self.agreeing else "mixed"


def orders(sweep: Sweep, levels: Sequence[float]) -> list[Order]:
    """Every expected order whose two architectures took part."""
    found: list[Order] = []
    for expected in EXPECTED:
        if not {expected.better, expected.worse} <= set(sweep.architectures):
            continue
        pairs = [
            (at_l0(sweep.of(expected.better, seed), l0), at_l0(sweep.of(expected.worse, seed), l0))
            for l0 in levels
            for seed in sweep.config.seeds
        ]
        ratios = tuple(first / second for first, second in pairs if first is not None and second is not None)
        found.append(Order(expected, ratios))
    return found
