"""Compare frontiers: the error of each architecture at equal L0, interpolated between its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from mechscope.dictionaries.frontier.points import Sweep

REFERENCE = "relu"
"""The architecture to which the others are compared."""


class Measured(Protocol):
    """A dictionary with measured L0 and FVU."""

    @property
    def l0(self) -> float:
        """Active features per example."""
        ...

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained."""
        ...


M = TypeVar("M", bound=Measured)


def at_l0(points: Iterable[M], l0: float, measure: Callable[[M], float] = lambda p: p.fvu) -> float | None:
    """A measure at some L0, interpolated between neighbouring points; None outside of their range.

    The interpolation is linear in the logarithm of L0, and in the logarithm of the measure if that is positive.
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
    """The architecture."""
    l0: float
    """The L0."""
    fvu: tuple[float, ...]
    """FVU for each seed whose frontier includes this L0."""
    ratio: tuple[float, ...]
    """FVU divided by that of the reference for each seed, if both frontiers include this L0."""

    @property
    def mean(self) -> float | None:
        """Mean FVU; None if no seed's frontier includes this L0."""
        return sum(self.fvu) / len(self.fvu) if self.fvu else None

    @property
    def mean_ratio(self) -> float | None:
        """Geometric mean of the ratios."""
        return math.exp(sum(map(math.log, self.ratio)) / len(self.ratio)) if self.ratio else None


def compare(sweep: Sweep, levels: Sequence[float]) -> list[AtL0]:
    """Every architecture at every L0, ordered by L0 and then as in the sweep."""
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
    """At most `most` round values of L0 at which the reference and another architecture can be compared in every seed.

    Without the reference, any two architectures will do. The values are spread evenly over all possible ones.
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
    """A published order of two architectures: at equal L0, the first leaves less variance unexplained."""

    better: str
    """The first architecture."""
    worse: str
    """The second architecture."""
    source: str
    """The publication."""


EXPECTED = (
    Expected("topk", "relu", "Gao et al. 2024"),
    Expected("gated", "relu", "Rajamanoharan et al. 2024a"),
    Expected("jumprelu", "gated", "Rajamanoharan et al. 2024b"),
    Expected("jumprelu", "topk", "Rajamanoharan et al. 2024b"),
    Expected("batch_topk", "topk", "Bussmann et al. 2024"),
    Expected("batch_topk", "matryoshka", "Bussmann et al. 2025"),
)
"""Published orders on activations of language models."""


@dataclass(frozen=True)
class Order:
    """A comparison of two architectures at every L0 and seed at which both can be interpolated."""

    expected: Expected
    """The published order."""
    ratios: tuple[float, ...]
    """FVU of the first divided by that of the second; below 1 is as expected."""

    @property
    def agreeing(self) -> int:
        """The number of comparisons in which the first is better."""
        return sum(ratio < 1 for ratio in self.ratios)

    @property
    def verdict(self) -> str:
        """The result in words."""
        if not self.ratios:
            return "not compared"
        if self.agreeing == len(self.ratios):
            return "agrees"
        return "the other way round" if not self.agreeing else "mixed"


def orders(sweep: Sweep, levels: Sequence[float]) -> list[Order]:
    """Every expected order whose architectures are both in the sweep."""
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
