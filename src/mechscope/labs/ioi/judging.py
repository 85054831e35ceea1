"""What the circuit is worth: alone, beside two nulls, without each of its parts, and where it is incomplete.

F is the mean logit difference. Faithful: F(C) is near F(M). Complete: taking some of the circuit away hurts the circuit
as much as the model. Minimal: every head matters, if not in the whole circuit then in one without its siblings. Source:
Wang et al. 2022, section 4.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mechscope.labs.ioi.heads import Classes, Head, Places
from mechscope.labs.ioi.mean_ablation import MeanAblation

PATIENCE = 50
"""Draws before it is taken that there is no other set."""


@dataclass(frozen=True)
class Nulls:
    """F(N) / F(M) of other sets of heads, one number a draw; empty where there is no other set."""

    random: tuple[float, ...]
    """As many heads from anywhere, each at one of the circuit's positions."""
    matched: tuple[float, ...]
    """As many heads of each layer."""

    @staticmethod
    def as_good(draws: Sequence[float], faithfulness: float) -> float:
        """Share of draws that are at least as faithful (nearer to 1, or as near); NaN where there are none."""
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
    """F(∅) / F(M): what is left with every head on its mean. Where that is much, the logit difference has little to do
    with the prompt, and a faithful circuit means nothing."""
    nulls: Nulls
    minimality: dict[Head, float]
    """The most that F changes when a head leaves, from the circuit or from the circuit without its siblings."""
    completeness: dict[str, tuple[float, float]]
    """Class → what is left without it of the circuit, and of the model."""
    knocked_out: dict[str, float]
    """Class → share of F(M) that the model loses without it."""
    null_knocked_out: dict[str, float]
    """Class → the same without as many heads from outside of the circuit (or all that there are), the median of
    draws; NaN where there are none."""

    @property
    def needed(self) -> float:
        """Share of heads that change F by at least a hundredth of F(M)."""
        return float(np.mean([change >= 0.01 for change in self.minimality.values()]))

    @property
    def most_incomplete(self) -> float:
        """The largest gap between circuit and model without the same class."""
        return max(abs(circuit - model) for circuit, model in self.completeness.values())


def judge(runs: MeanAblation, classes: Classes, places: Places, draws: int, seed: int) -> Judgement:
    """Judge the circuit of these classes.

    Raises:
        ValueError: for a circuit without heads.
    """
    if not places:
        raise ValueError("the circuit has no heads, so there is nothing to judge.")
    draw = random.Random(f"ioi nulls {seed}")
    faithfulness = runs.share(places)
    return Judgement(
        runs.whole,
        faithfulness,
        runs.share({}),
        draw_nulls(runs, places, draws, draw),
        _minimality(runs, classes, places, faithfulness),
        {
            name: (
                runs.share({head: place for head, place in places.items() if head not in heads}),
                runs.share_of(runs.all_but({head: places[head] for head in heads})),
            )
            for name, heads in classes.items()
        },
        {name: 1 - runs.share_of(runs.without_heads(heads)) for name, heads in classes.items()},
        {name: _null_knock_out(runs, places, len(heads), draws, draw) for name, heads in classes.items()},
    )


def draw_nulls(runs: MeanAblation, places: Places, draws: int, draw: random.Random) -> Nulls:
    """F(N) / F(M) of random and of layer-matched sets as large as the circuit."""
    cfg = runs.model.cfg
    everyone = [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    by_layer = Counter(layer for layer, _ in places)
    own = [place for layer in by_layer for head, place in places.items() if head[0] == layer]

    def anywhere() -> Places:
        shuffled = draw.sample(list(places.values()), len(places))
        return dict(zip(draw.sample(everyone, len(places)), shuffled, strict=True))

    def in_the_same_layers() -> Places:
        heads = [
            (layer, head)
            for layer, count in by_layer.items()
            for head in draw.sample(range(cfg.n_heads), count)
        ]
        return dict(zip(heads, own, strict=True))

    found: list[tuple[float, ...]] = []
    for kind in (anywhere, in_the_same_layers):
        others = [_other_than(places, kind) for _ in range(draws)]
        found.append(tuple(runs.share(other) for other in others if other))
    return Nulls(*found)


def _other_than(places: Places, draw: Callable[[], Places]) -> Places:
    """A draw that is not the circuit itself; empty where hardly any other can be drawn."""
    for _ in range(PATIENCE):
        other = draw()
        if dict(other) != dict(places):
            return other
    return {}


def _minimality(
    runs: MeanAblation, classes: Classes, places: Places, faithfulness: float
) -> dict[Head, float]:
    changes: dict[Head, float] = {}
    for heads in classes.values():
        for head in heads:
            siblings = [other for other in heads if other != head]
            alone = {each: place for each, place in places.items() if each != head}
            change = abs(faithfulness - runs.share(alone))
            if siblings:
                with_it = {each: place for each, place in places.items() if each not in siblings}
                without = {each: place for each, place in with_it.items() if each != head}
                change = max(change, abs(runs.share(with_it) - runs.share(without)))
            changes[head] = change
    return changes


def _null_knock_out(runs: MeanAblation, places: Places, count: int, draws: int, draw: random.Random) -> float:
    cfg = runs.model.cfg
    outside = [
        (layer, head)
        for layer in range(cfg.n_layers)
        for head in range(cfg.n_heads)
        if (layer, head) not in places
    ]
    if not outside:
        return float("nan")
    count = min(count, len(outside))
    lost = [1 - runs.share_of(runs.without_heads(draw.sample(outside, count))) for _ in range(draws)]
    return float(np.median(lost))
