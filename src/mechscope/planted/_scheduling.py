"""Assign layers and heads: each component comes as early as its inputs allow."""

from __future__ import annotations

import random
from dataclasses import dataclass

from mechscope.planted._plan import HeadPlan, MapPlan, Plan, Variable


@dataclass(frozen=True)
class Slot:
    """Where a component goes: a layer and a head, or the layer's MLP if `head` is None."""

    layer: int
    head: int | None = None

    @property
    def node(self) -> str:
        """Its published name: a0.h1 or m0."""
        return f"m{self.layer}" if self.head is None else f"a{self.layer}.h{self.head}"


@dataclass(frozen=True)
class Schedule:
    """A slot for every component."""

    places: dict[HeadPlan | MapPlan, Slot]
    n_layers: int
    n_heads: int

    def heads(self) -> dict[HeadPlan, Slot]:
        """The heads and their slots."""
        return {part: place for part, place in self.places.items() if isinstance(part, HeadPlan)}

    def maps(self, layer: int) -> list[MapPlan]:
        """The maps that share this layer's MLP."""
        return [
            part for part, place in self.places.items() if isinstance(part, MapPlan) and place.layer == layer
        ]


def schedule(
    plan: Plan, extra_layers: int = 0, extra_heads: int = 0, seed: int = 0, shuffle: bool = False
) -> Schedule:
    """Assign a slot to every component of a plan.

    Args:
        extra_layers: layers that compute nothing, inserted at random (by `seed`) among the others.
        extra_heads: heads that compute nothing, in every layer.
        shuffle: number the heads of each layer in random order (by `seed`).

    Raises:
        ValueError: for negative numbers.
    """
    if extra_layers < 0 or extra_heads < 0:
        raise ValueError(
            f"extra_layers={extra_layers} and extra_heads={extra_heads}: neither can be below 0."
        )
    rng = random.Random(seed)
    depth = _depths(plan)
    needed = max((layer + 1 for layer in depth.values()), default=1)
    slots = sorted(rng.sample(range(needed + extra_layers), needed))
    heads: dict[int, list[HeadPlan]] = {}
    for part, layer in depth.items():
        if isinstance(part, HeadPlan):
            heads.setdefault(layer, []).append(part)
    n_heads = max((len(parts) for parts in heads.values()), default=1) + extra_heads
    places: dict[HeadPlan | MapPlan, Slot] = {}
    numbers = {
        layer: rng.sample(range(n_heads), n_heads) if shuffle else list(range(n_heads)) for layer in heads
    }
    for part, layer in depth.items():
        if isinstance(part, HeadPlan):
            places[part] = Slot(slots[layer], numbers[layer][heads[layer].index(part)])
        else:
            places[part] = Slot(slots[layer])
    return Schedule(places, needed + extra_layers, n_heads)


def _depths(plan: Plan) -> dict[HeadPlan | MapPlan, int]:
    """The layer of each component: a head reads earlier layers, a map also the heads of its own layer."""
    ready: dict[Variable, tuple[int, int]] = {}
    depth: dict[HeadPlan | MapPlan, int] = {}
    for part in plan.parts:
        written = [ready[reading.variable] for reading, _ in part.reads() if reading.variable in ready]
        layer, sublayer = max(written, default=(-1, 1))
        is_map = isinstance(part, MapPlan)
        depth[part] = max(layer, 0) if is_map and sublayer == 0 else layer + 1
        ready[part.output] = (depth[part], int(is_map))
    return depth
