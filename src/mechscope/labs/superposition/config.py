"""Settings of step 01, and the groups of networks that they describe."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mechscope.checkpoints.toy_networks import Group
from mechscope.labs.superposition.phase_diagram import boundary
from mechscope.labs.superposition.training import geometric

COUNT_DENSITY = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Densities at which claims 1.1 and 1.2 count features."""
INTRO_DENSITY = tuple(20.0 ** -(i / 9) for i in range(10))
"""The ten densities of the intro figure."""
BOUNDARY_IMPORTANCE = (0.1, 0.18, 0.32, 0.56, 1.0, 1.78, 3.16, 5.62, 10.0)
"""Importances at which claim 1.5 is checked."""
BOUNDARY_RATIO = (0.5, 0.65, 0.8, 1.0, 1.15, 1.3, 1.5, 1.7, 2.0)
"""Densities at which it is checked, as multiples of the boundary p*."""
POLYTOPE_DENSITY = (0.64, 0.62, 0.6, 0.22, 0.2, 0.18)
"""Densities on both sides of the plateau of antipodal pairs, where claim 1.7 looks for other polytopes."""
DENSE_POLYTOPE_DENSITY = (0.64, 0.66, 0.68, 0.8, 0.9)
"""Densities at which triangles, then tetrahedra, are the best use of a dimension (see shape_gains)."""
PRIVILEGED_DENSITY = (1.0, 0.7, 0.5, 0.2, 0.08, 0.05)
"""Densities of claim 1.10; the fourth is only drawn."""
ABS_DENSITY = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Densities of claim 1.11."""


@dataclass(frozen=True)
class SuperpositionConfig:
    """How many networks of each kind are trained, and for how long; all with AdamW and weight decay 0.01."""

    learning_rate: float = 3e-3
    """Constant in the first half of the training, then falling linearly to zero."""
    count_starts: int = 3
    """Claims 1.1 and 1.2: random starts per density."""
    count_steps: int = 2000
    """Their training steps."""
    count_batch: int = 1024
    """Their batch."""
    intro_starts: int = 8
    """Claim 1.3: random starts per density."""
    small_starts: int = 20
    """Claim 1.9: random starts."""
    pentagon_starts: int = 40
    """Claim 1.4: random starts."""
    small_steps: int = 2000
    """Training steps of claims 1.3, 1.4 and 1.9."""
    small_batch: int = 512
    """Their batch."""
    boundary_starts: int = 6
    """Claim 1.5: random starts of each setting."""
    boundary_steps: int = 1500
    """Their training steps."""
    boundary_batch: int = 256
    """Their batch."""
    grid: int = 16
    """Importances and densities along each side of the phase diagram."""
    grid_starts: int = 6
    """Random starts of each of its cells."""
    grid_steps: int = 1500
    """Their training steps."""
    grid_batch: int = 256
    """Their batch."""
    crowd_features: int = 100
    """Claims 1.6, 1.8 and 1.12: equally important features."""
    crowd_hidden: int = 20
    """Hidden dimensions for them."""
    crowd_densities: tuple[float, ...] = (1.0, 0.6, 0.5, 0.4, 0.35, 0.2, 0.1)
    """Their densities, those of claim 1.6 included."""
    crowd_starts: int = 1
    """Random starts per density."""
    crowd_steps: int = 1500
    """Training steps."""
    crowd_batch: int = 512
    """Batch."""
    polytope_starts: int = 0
    """Claims 1.7a and 1.7b: random starts per density; 0 leaves these claims out."""
    polytope_steps: int = 3000
    """Training steps."""
    dense_polytope_starts: int = 4
    """Claim 1.7b, at higher densities: random starts per density; left out if `polytope_starts` is 0."""
    dense_polytope_steps: int = 4000
    """Training steps."""
    dense_polytope_batch: int = 1024
    """Batch. The lead of these shapes is smaller than the noise of smaller batches."""
    privileged_starts: int = 0
    """Claim 1.10: random starts per density, the best of which counts; 0 leaves the claim out."""
    privileged_steps: int = 6000
    """Training steps."""
    privileged_batch: int = 512
    """Batch."""
    privileged_finalists: int = 15
    """Starts per density, those with the lowest loss, that are trained further after a quarter of the training."""
    abs_starts: int = 0
    """Claim 1.11: random starts per density; 0 leaves the claim out."""
    abs_steps: int = 6000
    """Training steps."""
    abs_batch: int = 512
    """Batch."""
    abs_features: int = 100
    """Features whose absolute values are computed."""
    abs_hidden: int = 40
    """Hidden units that compute them."""
    arrangement_starts: int = 0
    """Claims 1.7c, 1.13 and 1.14: random starts in addition to the planted ones; 0 leaves these claims out."""
    arrangement_steps: int = 1000
    """Their training steps."""
    arrangement_points: int = 4096
    """Quasi-random inputs, the same at every step."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that this budget trains, in the lesson's order."""
        groups = [
            self._counting(),
            self._small("intro", 5, INTRO_DENSITY, self.intro_starts, ratio=0.9),
            self._small("pentagon", 5, (0.05,), self.pentagon_starts),
            self._small("correlated", 4, (0.05,), self.small_starts, features="correlated"),
            self._small("anticorrelated", 4, (0.05,), self.small_starts, features="anticorrelated"),
            self._two_in_one(
                "boundary",
                boundary_settings(),
                (self.boundary_starts, self.boundary_steps, self.boundary_batch),
            ),
            self._two_in_one(
                "phase-grid",
                grid_settings(self.grid),
                (self.grid_starts, self.grid_steps, self.grid_batch),
            ),
            self._crowd(),
        ]
        if self.polytope_starts:
            groups += [self._polytopes(), self._dense_polytopes()]
        if self.privileged_starts:
            groups.append(self._privileged())
        if self.abs_starts:
            groups.append(self._absolute())
        return tuple(groups)

    def _counting(self) -> Group:
        return self._group(
            "counting",
            (20, 5),
            COUNT_DENSITY,
            geometric(20, 0.7, len(COUNT_DENSITY)),
            (self.count_starts, self.count_steps, self.count_batch),
        )

    def _small(
        self,
        name: str,
        n: int,
        density: tuple[float, ...],
        starts: int,
        ratio: float = 1.0,
        features: str = "independent",
    ) -> Group:
        run = (starts, self.small_steps, self.small_batch)
        return self._group(name, (n, 2), density, geometric(n, ratio, len(density)), run, features=features)

    def _two_in_one(
        self, name: str, settings: tuple[tuple[float, float], ...], run: tuple[int, int, int]
    ) -> Group:
        importance = tuple((1.0, importance) for importance, _ in settings)
        density = tuple(density for _, density in settings)
        return self._group(name, (2, 1), density, importance, run, learning_rate=1e-2)

    def _crowd(self) -> Group:
        importance = geometric(self.crowd_features, 1.0, len(self.crowd_densities))
        run = (self.crowd_starts, self.crowd_steps, self.crowd_batch)
        return self._group(
            "crowd", (self.crowd_features, self.crowd_hidden), self.crowd_densities, importance, run
        )

    def _polytopes(self) -> Group:
        density = POLYTOPE_DENSITY
        run = (self.polytope_starts, self.polytope_steps, self.crowd_batch)
        return self._group("polytopes", (100, 16), density, geometric(100, 1.0, len(density)), run)

    def _dense_polytopes(self) -> Group:
        density = DENSE_POLYTOPE_DENSITY
        run = (self.dense_polytope_starts, self.dense_polytope_steps, self.dense_polytope_batch)
        importance = geometric(100, 1.0, len(density))
        return self._group("dense-polytopes", (100, 16), density, importance, run, learning_rate=3e-3)

    def _privileged(self) -> Group:
        density = PRIVILEGED_DENSITY
        run = (self.privileged_starts, self.privileged_steps, self.privileged_batch)
        return self._group(
            "privileged",
            (10, 5),
            density,
            geometric(10, 0.75, len(density)),
            run,
            model="relu",
            finalists=self.privileged_finalists,
        )

    def _absolute(self) -> Group:
        importance = geometric(self.abs_features, 0.8, len(ABS_DENSITY))
        run = (self.abs_starts, self.abs_steps, self.abs_batch)
        shape = (self.abs_features, self.abs_hidden)
        return self._group("abs", shape, ABS_DENSITY, importance, run, model="untied", features="signed")

    def _group(
        self,
        name: str,
        shape: tuple[int, int],
        density: tuple[float, ...],
        importance: tuple[tuple[float, ...], ...],
        run: tuple[int, int, int],
        **options: object,
    ) -> Group:
        settings: dict[str, object] = {"learning_rate": self.learning_rate, **options}
        starts, steps, batch = run
        return Group(
            name=name,
            n_features=shape[0],
            n_hidden=shape[1],
            density=density,
            importance=importance,
            starts=starts,
            steps=steps,
            batch=batch,
            decays_to_zero=True,
            **settings,  # pyright: ignore[reportArgumentType]
        )


def boundary_settings() -> tuple[tuple[float, float], ...]:
    """(importance, density) of claim 1.5: multiples of p*, and density 0.9 for I = 1, where 1.7 p* is almost 1."""
    settings = []
    for importance in BOUNDARY_IMPORTANCE:
        middle = float(boundary(torch.tensor(importance, dtype=torch.float64)))
        settings += [(importance, ratio * middle) for ratio in BOUNDARY_RATIO if ratio * middle <= 0.95]
    return (*settings, (1.0, 0.9))


def grid_settings(side: int) -> tuple[tuple[float, float], ...]:
    """(importance, density) of each cell of the phase diagram, row by row from dense to sparse."""
    importance = torch.logspace(-1, 1, side, dtype=torch.float64).tolist()
    density = torch.logspace(0, -1.5, side, dtype=torch.float64).tolist()
    return tuple((i, p) for p in density for i in importance)
