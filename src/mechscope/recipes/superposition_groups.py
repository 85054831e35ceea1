"""Which toy models are made for pages: the experiments of step 01, some at more densities than the step needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechscope.checkpoints.toy_networks import Group
from mechscope.labs.superposition.config import (
    ABS_DENSITY,
    COUNT_DENSITY,
    POLYTOPE_DENSITY,
    PRIVILEGED_DENSITY,
    boundary_settings,
    grid_settings,
)
from mechscope.labs.superposition.training import geometric

CROWD_DENSITY = (
    1.0, 0.9, 0.8, 0.7, 0.65, 0.6, 0.5, 0.45, 0.4, 0.35, 0.25, 0.2, 0.17, 0.14, 0.1, 0.07, 0.05,
)  # fmt: skip
"""From a dimension for each to five features a dimension."""


@dataclass(frozen=True)
class Run:
    """How a group is trained."""

    starts: int
    """Random initial weights a setting."""
    steps: int
    """Training steps."""
    batch: int
    """Inputs a step."""
    learning_rate: float = 2e-3
    """Of AdamW, until it falls to zero in a straight line over the second half."""
    finalists: int = 0
    """Starts a setting that go on after a quarter of the training; 0 means all."""


@dataclass(frozen=True)
class InstancesConfig:
    """Every setting of the bundled toy models; importances are ratios, feature i has ratioⁱ."""

    intro: Run = Run(8, 5000, 1024)
    """5 features in 2 dimensions, ratio 0.9."""
    intro_densities: int = 19
    """How many, evenly in their logarithm from 1 to 0.05: a slider's positions."""
    counting: Run = Run(5, 5000, 1024)
    """20 features in 5 dimensions, ratio 0.7."""
    pentagon: Run = Run(40, 5000, 1024)
    """5 features in 2 dimensions, ratio 1, density 0.05."""
    pairs: Run = Run(20, 5000, 1024)
    """4 features in 2 dimensions, ratio 1, density 0.05: correlated, and anticorrelated."""
    boundary: Run = Run(6, 3000, 512, learning_rate=1e-2)
    """2 features in 1 dimension, on both sides of p*."""
    grid: Run = Run(4, 2000, 256, learning_rate=1e-2)
    """2 features in 1 dimension, a map."""
    grid_side: int = 16
    """Importances and densities along its sides."""
    crowd: Run = Run(2, 3000, 512)
    """100 features in 20 dimensions, ratio 1. Their biases begin at the features' mean: from 0 some of the outputs are
    stuck at zero at density 1, and the network loses more than a linear map."""
    crowd_densities: tuple[float, ...] = CROWD_DENSITY
    """Where they are trained."""
    polytopes: Run = Run(4, 3000, 512)
    """100 features in 16 dimensions, ratio 1."""
    privileged: Run = Run(40, 6000, 512, finalists=15)
    """10 features on 5 ReLU units, ratio 0.75."""
    absolute: Run = Run(1, 6000, 1024)
    """Absolute values of 100 features on 40 ReLU units, ratio 0.8."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group."""
        intro = tuple(20.0 ** -(i / (self.intro_densities - 1)) for i in range(self.intro_densities))
        return (
            _group("intro", (5, 2), intro, 0.9, self.intro),
            _group("counting", (20, 5), COUNT_DENSITY, 0.7, self.counting),
            _group("pentagon", (5, 2), (0.05,), 1, self.pentagon),
            _group("correlated", (4, 2), (0.05,), 1, self.pairs, features="correlated"),
            _group("anticorrelated", (4, 2), (0.05,), 1, self.pairs, features="anticorrelated"),
            _two_in_one("boundary", boundary_settings(), self.boundary),
            _two_in_one("phase-grid", grid_settings(self.grid_side), self.grid),
            _group("crowd", (100, 20), self.crowd_densities, 1, self.crowd, starts_at_mean=True),
            _group("polytopes", (100, 16), POLYTOPE_DENSITY, 1, self.polytopes),
            _group("privileged", (10, 5), PRIVILEGED_DENSITY, 0.75, self.privileged, model="relu"),
            _group("abs", (100, 40), ABS_DENSITY, 0.8, self.absolute, model="untied", features="signed"),
        )


def _group(
    name: str, shape: tuple[int, int], density: tuple[float, ...], ratio: float, run: Run, **options: Any
) -> Group:
    return _trained(name, shape, density, geometric(shape[0], ratio, len(density)), run, **options)


def _two_in_one(name: str, settings: tuple[tuple[float, float], ...], run: Run) -> Group:
    importance = tuple((1.0, importance) for importance, _ in settings)
    return _trained(name, (2, 1), tuple(density for _, density in settings), importance, run)


def _trained(
    name: str,
    shape: tuple[int, int],
    density: tuple[float, ...],
    importance: tuple[tuple[float, ...], ...],
    run: Run,
    **options: Any,
) -> Group:
    return Group(
        name=name,
        n_features=shape[0],
        n_hidden=shape[1],
        density=density,
        importance=importance,
        starts=run.starts,
        steps=run.steps,
        batch=run.batch,
        learning_rate=run.learning_rate,
        decays_to_zero=True,
        finalists=run.finalists,
        **options,
    )
