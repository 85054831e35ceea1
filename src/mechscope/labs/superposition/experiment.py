"""Step 01 from made-up features to the verdicts: train every group of networks, measure it, draw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mechscope.labs.lab import Lab, Outcome
from mechscope.labs.superposition.arrangement_figures import ARRANGEMENT_FIGURES, draw_arrangements
from mechscope.labs.superposition.arrangements import Settled, measure_arrangements, stored_arrangements
from mechscope.labs.superposition.claims import CLAIMS
from mechscope.labs.superposition.config import SuperpositionConfig
from mechscope.labs.superposition.figures import draw_figures
from mechscope.labs.superposition.measures import COMPARED_DENSITY, Trained, count_medians, measure
from mechscope.labs.superposition.shape_gains import DENSITY, best_shapes, gains, largest_lead
from mechscope.labs.superposition.training import train_group
from mechscope.runs.workspace import Workspace

NO_ARRANGEMENTS = (
    "comparing arrangements to a tenth of a percent takes minutes: it is part of the full budget"
)
NO_POLYTOPES = "with one random start per density, it is luck which polytopes turn up; run the full budget"
LEFT_OUT = {
    "privileged": (
        "1.10",
        "privileged",
        "it needs the best of many starts after a long training; run the full budget",
    ),
    "abs": ("1.11", "absolute", "it needs a larger network and a long training; run the full budget"),
}
"""Group that a budget may leave out → the claim and the figure that need it, and why it is left out."""
ONLY_DRAWN = frozenset({"phase-grid"})
"""Groups that no claim is measured on. They are trained for the first seed only, the one that is drawn."""


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings."""

    counts: tuple[float, ...]
    """Represented features at each of the densities of claim 1.2, from dense to sparse: medians over the starts."""
    pair_best_from: float
    """Highest density at which pairs are the best use of a dimension, by calculation."""
    pair_best_to: float
    """Lowest such density."""
    triangle_gain: float
    """Percentage by which triangles lead the next best shape where they lead most, by calculation."""
    tetrahedron_gain: float
    """The same for tetrahedra."""
    compared_density: float
    """Density at which the computing networks are compared with the one that was trained dense."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and measure every seed; draw the first one."""
    config: SuperpositionConfig = workspace.config
    first = workspace.seeds[0]
    trained = {
        seed: {
            group.name: train_group(workspace, group, seed)
            for group in config.groups
            if seed == first or group.name not in ONLY_DRAWN
        }
        for seed in workspace.seeds
    }
    measures = {seed: measure(groups, seed) for seed, groups in trained.items()}
    arrangements = _arrangements(workspace, config) if config.arrangement_starts else {}
    for seed, found in arrangements.items():
        measures[seed] |= measure_arrangements(found)
    shapes = workspace.load_or_compute("shape-gains", lambda: gains(DENSITY))
    left_out = [LEFT_OUT[name] for name in LEFT_OUT if name not in trained[first]]
    not_run = {claim: reason for claim, _, reason in left_out}
    missing = {figure: reason for _, figure, reason in left_out}
    if "polytopes" not in trained[first]:
        not_run |= dict.fromkeys(("1.7a", "1.7b"), NO_POLYTOPES)
    if not arrangements:
        not_run["arrangements"] = NO_ARRANGEMENTS
        missing |= dict.fromkeys(ARRANGEMENT_FIGURES, NO_ARRANGEMENTS)
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(trained[first], measures[first], shapes, first),
            *(draw_arrangements(arrangements[first], first) if arrangements else ()),
        ),
        not_run=not_run,
        missing_figures=missing,
        facts=_facts(trained[first], shapes),
        weights=_weights(trained[first]),
    )


def _arrangements(workspace: Workspace, config: SuperpositionConfig) -> dict[int, dict[str, Settled]]:
    return {
        seed: stored_arrangements(
            workspace,
            seed,
            starts=config.arrangement_starts,
            steps=config.arrangement_steps,
            points=config.arrangement_points,
        )
        for seed in workspace.seeds
    }


def _facts(trained: Trained, shapes: Mapping[str, Tensor]) -> Facts:
    of_pairs = [p for p, shape in zip(DENSITY, best_shapes(shapes), strict=True) if shape == "pair"]
    return Facts(
        counts=tuple(count_medians(trained["counting"])),
        pair_best_from=max(of_pairs),
        pair_best_to=min(of_pairs),
        triangle_gain=largest_lead(shapes, "triangle"),
        tetrahedron_gain=largest_lead(shapes, "tetrahedron"),
        compared_density=COMPARED_DENSITY,
    )


def _weights(trained: Trained) -> dict[str, Tensor]:
    weights = {}
    for name, group in trained.items():
        weights |= {f"{name}.W": group.models.W, f"{name}.b": group.models.b}
        if group.models.kind == "untied":
            weights[f"{name}.W_out"] = group.models.W_out
    return weights


def describe_inputs() -> dict[str, str]:
    """The data in words. Nothing is read: the features are made up."""
    return {"data": "sparse made-up features, drawn from the seed"}


LAB = Lab(
    step="01",
    slug="superposition",
    title="Toy models of superposition",
    idea="A network can hold more features than it has dimensions, if they are rarely there together.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={
        "quick": SuperpositionConfig(),
        "full": SuperpositionConfig(
            learning_rate=2e-3,
            count_starts=5,
            count_steps=5000,
            small_steps=5000,
            small_batch=1024,
            boundary_steps=3000,
            boundary_batch=512,
            grid=24,
            grid_starts=4,
            grid_steps=2000,
            crowd_densities=(1.0, 0.8, 0.7, 0.65, 0.6, 0.5, 0.4, 0.35, 0.25, 0.2, 0.17, 0.1, 0.05),
            crowd_starts=2,
            polytope_starts=6,
            crowd_steps=4000,
            privileged_starts=100,
            abs_starts=2,
            abs_steps=10_000,
            abs_batch=1024,
            arrangement_starts=8,
        ),
    },
    seeds={"quick": 1, "full": 2},
    inputs=describe_inputs,
    experiment=run_experiment,
)
