"""Judge a circuit: is it faithful, compared with two nulls, is it minimal, and is it complete?

F is the mean logit difference. Faithful: F(C) is near F(M). Minimal: every head matters, in the whole circuit or in the
circuit without the other heads of its class. Complete: removing a part of it hurts the circuit as much as the model.
Source: Wang et al. 2022, section 4.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mechscope.labs.ioi.heads import Classes, Head, HeadPositions
from mechscope.labs.ioi.mean_ablation import MeanAblation

MOST_TRIES = 50
"""Draws after which there is taken to be no other set."""


@dataclass(frozen=True)
class Nulls:
    """F(N) / F(M) of other sets of heads, one number per draw; empty if there is no other set."""

    random: tuple[float, ...]
    """Sets of as many heads from any layer, each at one of the circuit's positions."""
    matched: tuple[float, ...]
    """Sets with as many heads in each layer as the circuit."""

    @staticmethod
    def as_good(draws: Sequence[float], faithfulness: float) -> float:
        """Share of draws that are at least as faithful (at least as near to 1); NaN without draws."""
        if not draws:
            return float("nan")
        return float(np.mean([abs(1 - draw) <= abs(1 - faithfulness) for draw in draws]))


@dataclass(frozen=True)
class Judgement:
    """All shares are of F(M), the whole model's logit difference."""

    whole: float
    """F(M), in logits."""
    faithfulness: float
    """F(C) / F(M)."""
    nothing: float
    """F(∅) / F(M): what is left if every head is replaced by its mean. If that is large, the logit difference hardly
    depends on the prompt, and a faithful circuit means nothing."""
    nulls: Nulls
    minimality: dict[Head, float]
    """Largest change of F when a head is removed, from the circuit or from it without the rest of the class."""
    completeness: dict[str, tuple[float, float]]
    """Class → what is left without it of the circuit and of the model."""
    knocked_out: dict[str, float]
    """Class → share of F(M) that the model loses without it."""
    null_knocked_out: dict[str, float]
    """Class → the same without as many heads from outside the circuit (or all of them, if there are fewer): the median
    of draws; NaN if there are none outside."""

    @property
    def needed(self) -> float:
        """Share of heads that change F by at least 1 % of F(M)."""
        return float(np.mean([change >= 0.01 for change in self.minimality.values()]))

    @property
    def most_incomplete(self) -> float:
        """The largest difference between circuit and model when both lack the same class."""
        return max(abs(circuit - model) for circuit, model in self.completeness.values())


def judge(
    runs: MeanAblation,
    classes: Classes,
    positions: HeadPositions,
    draws: int,
    seed: int,
    knock_out_draws: int | None = None,
) -> Judgement:
    """Judge the circuit of these classes.

    Args:
        draws: sets of heads for each null of faithfulness.
        seed: seed of all draws.
        knock_out_draws: sets of heads beside each class that is knocked out; None draws as many as for faithfulness.

    Raises:
        ValueError: for a circuit without heads.
    """
    if not positions:
        raise ValueError("the circuit has no heads, so there is nothing to judge.")
    draw = random.Random(f"ioi nulls {seed}")
    beside = draws if knock_out_draws is None else knock_out_draws
    faithfulness = runs.share(positions)
    return Judgement(
        runs.whole,
        faithfulness,
        runs.share({}),
        draw_nulls(runs, positions, draws, draw),
        _minimality(runs, classes, positions, faithfulness),
        {
            name: (
                runs.share({head: position for head, position in positions.items() if head not in heads}),
                runs.share_of(runs.all_but({head: positions[head] for head in heads})),
            )
            for name, heads in classes.items()
        },
        {name: 1 - runs.share_of(runs.without_heads(heads)) for name, heads in classes.items()},
        {name: _null_knock_out(runs, positions, len(heads), beside, draw) for name, heads in classes.items()},
    )


def draw_nulls(runs: MeanAblation, positions: HeadPositions, draws: int, draw: random.Random) -> Nulls:
    """F(N) / F(M) of random sets and of layer-matched sets, as large as the circuit."""
    cfg = runs.model.cfg
    all_heads = [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    by_layer = Counter(layer for layer, _ in positions)
    own = [position for layer in by_layer for head, position in positions.items() if head[0] == layer]

    def anywhere() -> HeadPositions:
        shuffled = draw.sample(list(positions.values()), len(positions))
        return dict(zip(draw.sample(all_heads, len(positions)), shuffled, strict=True))

    def in_the_same_layers() -> HeadPositions:
        heads = [
            (layer, head)
            for layer, count in by_layer.items()
            for head in draw.sample(range(cfg.n_heads), count)
        ]
        return dict(zip(heads, own, strict=True))

    found: list[tuple[float, ...]] = []
    for kind in (anywhere, in_the_same_layers):
        others = [_other_than(positions, kind) for _ in range(draws)]
        found.append(tuple(runs.share(other) for other in others if other))
    return Nulls(*found)


def _other_than(positions: HeadPositions, draw: Callable[[], HeadPositions]) -> HeadPositions:
    """A draw that differs from the circuit; empty if there is hardly any other."""
    for _ in range(MOST_TRIES):
        other = draw()
        if dict(other) != dict(positions):
            return other
    return {}


def _minimality(
    runs: MeanAblation, classes: Classes, positions: HeadPositions, faithfulness: float
) -> dict[Head, float]:
    changes: dict[Head, float] = {}
    for heads in classes.values():
        for head in heads:
            siblings = [other for other in heads if other != head]
            alone = {each: position for each, position in positions.items() if each != head}
            change = abs(faithfulness - runs.share(alone))
            if siblings:
                with_it = {each: position for each, position in positions.items() if each not in siblings}
                without = {each: position for each, position in with_it.items() if each != head}
                change = max(change, abs(runs.share(with_it) - runs.share(without)))
            changes[head] = change
    return changes


def _null_knock_out(
    runs: MeanAblation, positions: HeadPositions, count: int, draws: int, draw: random.Random
) -> float:
    cfg = runs.model.cfg
    outside = [
        (layer, head)
        for layer in range(cfg.n_layers)
        for head in range(cfg.n_heads)
        if (layer, head) not in positions
    ]
    if not outside:
        return float("nan")
    count = min(count, len(outside))
    lost = [1 - runs.share_of(runs.without_heads(draw.sample(outside, count))) for _ in range(draws)]
    return float(np.median(lost))
