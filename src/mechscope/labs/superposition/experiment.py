"""Step 01 from made-up features to the verdicts: train every group of instances, measure them, draw them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mechscope.labs.lab import Lab, Outcome
from mechscope.labs.superposition.arrangement_figures import ARRANGEMENT_FIGURES, draw_arrangements
from mechscope.labs.superposition.arrangements import Settled, measure_arrangements, stored_arrangements
from mechscope.labs.superposition.claims import CLAIMS
from mechscope.labs.superposition.config import SuperpositionConfig
from mechscope.labs.superposition.figures import draw_figures
from mechscope.labs.superposition.measures import RIVAL_AT, Trained, measure
from mechscope.labs.superposition.shape_gains import DENSITY, best_shapes, gains, largest_lead
from mechscope.labs.superposition.training import train_group
from mechscope.runs.workspace import Workspace

NO_ARRANGEMENTS = (
    "comparing arrangements to a tenth of a percent takes minutes: it is part of the full budget"
)
NOT_ENOUGH = "with one random start a density it is luck which polytopes turn up; run the full budget"

LEFT_OUT = {
    "privileged": (
        "1.10",
        "privileged",
        "it needs the best of many starts after a long training; run the full budget",
    ),
    "abs": ("1.11", "absolute", "it needs a larger network and a long training; run the full budget"),
}
"""Group that a budget may leave out → the claim and the figure that need it, and why."""

ONLY_DRAWN = frozenset({"phase-grid"})
"""Groups that no claim is measured on: trained for the first seed alone, which is the one that is drawn."""


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
    arranged: dict[int, dict[str, Settled]] = {}
    if config.arrangement_starts:
        arranged = {
            seed: stored_arrangements(
                workspace,
                seed,
                starts=config.arrangement_starts,
                steps=config.arrangement_steps,
                points=config.arrangement_points,
            )
            for seed in workspace.seeds
        }
        for seed, found in arranged.items():
            measures[seed] |= measure_arrangements(found)
    shapes = workspace.load_or_compute("shape-gains", lambda: gains(DENSITY))
    left_out = [LEFT_OUT[name] for name in LEFT_OUT if name not in trained[first]]
    not_run = {claim: reason for claim, _, reason in left_out}
    if "polytopes" not in trained[first]:
        not_run |= dict.fromkeys(("1.7a", "1.7b"), NOT_ENOUGH)
    missing = {figure: reason for _, figure, reason in left_out}
    if not arranged:
        not_run["arrangements"] = NO_ARRANGEMENTS
        missing |= dict.fromkeys(ARRANGEMENT_FIGURES, NO_ARRANGEMENTS)
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(trained[first], measures[first], shapes, first),
            *(draw_arrangements(arranged[first], first) if arranged else ()),
        ),
        not_run=not_run,
        missing_figures=missing,
        numbers=format_numbers(config, trained[first], measures[first]) | _shape_numbers(shapes),
        weights=_weights(trained[first]),
    )


def format_numbers(
    config: SuperpositionConfig, trained: Trained, found: Mapping[str, float]
) -> dict[str, str]:
    """The numbers that the lesson quotes."""
    whole = (
        "dense_most",
        "intro_dense",
        "intro_sparse",
        "pentagons",
        "pentagon_starts",
        "at_half",
        "shapes_instances",
    )
    two_digits = (
        "cos_correlated",
        "cos_anticorrelated",
        "D_star_dense",
        "vulnerability_dense",
        "vulnerability_correlation",
    )
    numbers = {name: f"{found[name]:.0f}" for name in whole}
    numbers |= {"learning_rate": f"{config.learning_rate:g}", "steps": f"{config.count_steps:,}"}
    numbers |= {name: f"{found[name]:.2f}" for name in two_digits}
    numbers |= {
        name: f"{found[f'shapes_{fraction}']:.0f}"
        for name, fraction in {
            "pairs": "1/2",
            "pentagon_shapes": "2/5",
            "antiprisms": "3/8",
            "tetrahedra": "3/4",
            "triangles": "2/3",
        }.items()
    }
    counts = [found[name] for name in found if name.startswith("count_") and name[6].isdigit()]
    if "privileged" in trained:
        privileged = (
            f"In this run {found['mono_dense']:.0f} % of the units were monosemantic at density 0.5 and "
            "above, and "
            f"{found['poly_sparse']:.0f} % polysemantic at 0.08 and below."
        )
    else:
        privileged = "This budget did not train these models."
    better = "This budget did not train the networks that compute."
    if "abs" in trained:
        won = found["abs_loss"] < found["abs_loss_rival"]
        better = (
            f"The computing network trained at density {RIVAL_AT:g} has a loss of "
            f"{found['abs_loss']:.4f}. The "
            "one trained dense, its biases scaled down and nothing else, gets "
            f"{found['abs_loss_rival']:.4f} on the same data. "
            + (
                "So here it is."
                if won
                else "So here it is not: those units are muddled because training got stuck, and the "
                "curve above is no evidence that superposition pays for computing."
            )
        )
    absolute = (
        f"The share of monosemantic units went from {found['abs_dense']:.0f} % to "
        f"{found['abs_sparse']:.0f} %."
        if "abs" in trained
        else "This budget did not train these models."
    )
    shuffled = int(found["shapes_shuffled"])
    return numbers | {
        "shuffled": f"{shuffled or 'none'} of these groups {'is' if shuffled in (0, 1) else 'are'} left.",
        "dense_on_sparse": (
            f"{found['vulnerability_dense_on_sparse']:.2f}, against {found['vulnerability_most']:.1f}"
        ),
        "better": better,
        "instances": f"{sum(group.instances for group in config.groups):,}",
        "last_antipodal": _range(found["last_antipodal_lowest"], found["last_antipodal_highest"]),
        "counts": ", ".join(f"{count:g}" for count in counts),
        "packing_least": f"{found['packing_least']:.1f}",
        "packing_most": f"{found['packing_most']:.1f}",
        "vulnerability_most": f"{found['vulnerability_most']:.1f}",
        "crowd_features": str(config.crowd_features),
        "crowd_hidden": str(config.crowd_hidden),
        "pentagon_angle_off": f"{found['pentagon_angle_off']:.1f}",
        "tetrahedron": _tetrahedron_words(found),
        "digons": _digon_words(found),
        "correlated_sets": _correlated_words(found),
        "privileged": privileged,
        "absolute": absolute,
    }


def _tetrahedron_words(found: Mapping[str, float]) -> str:
    if "tetrahedron_off" not in found:
        return "This budget did not compare them."
    return (
        f"Of {found['arrangement_starts']:.0f} starts it has the lowest loss at every density from 0.65 to 0.9 (by "
        f"{found['tetrahedron_lead']:.2f} % at least; its cosines are within {found['tetrahedron_off']:.3f} of "
        f"−1/3). At density 0.3 the best start is {-found['tetrahedron_sparse']:.0f} % better than a tetrahedron can "
        "be."
    )


def _digon_words(found: Mapping[str, float]) -> str:
    if "digon_crossing" not in found:
        return "This budget did not compare them."
    return (
        f"Where the others have density 0.1, the curves cross at a fifth feature {found['digon_crossing']:.1f} times "
        f"sparser; at density 0.05, {found['digon_crossing_sparser']:.1f} times. Made denser instead, it keeps its "
        "place."
    )


def _correlated_words(found: Mapping[str, float]) -> str:
    if "octahedra" not in found:
        return "This budget did not train these networks."
    return (
        f"Above density 0.5, {found['pairs_collapsed_dense']:.0f} of 3 pairs have collapsed; below 0.05, "
        f"{found['pairs_collapsed_sparse']:.0f}. Two triples in three dimensions make an octahedron, and in "
        f"{found['octahedra_crossed']:.0f} % of {found['octahedra']:.0f} good starts each feature lies opposite one "
        f"of the other triple; without correlation in {found['octahedra_crossed_alone']:.0f} %."
    )


def _range(low: float, high: float) -> str:
    ends = f"{low:.2f}", f"{high:.2f}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _shape_numbers(shapes: Mapping[str, Tensor]) -> dict[str, str]:
    best = best_shapes(shapes)
    pairs = [p for p, shape in zip(DENSITY, best, strict=True) if shape == "pair"]
    return {
        "pair_best_from": f"{max(pairs):.2f}",
        "pair_best_to": f"{min(pairs):.2f}",
        "triangle_lead": f"{largest_lead(shapes, 'triangle'):.1f}",
        "tetrahedron_lead": f"{largest_lead(shapes, 'tetrahedron'):.1f}",
    }


def _weights(trained: Trained) -> dict[str, Tensor]:
    weights = {}
    for name, group in trained.items():
        weights |= {f"{name}.W": group.models.W, f"{name}.b": group.models.b}
        if group.models.kind == "untied":
            weights[f"{name}.W_out"] = group.models.W_out
    return weights


def describe_inputs() -> dict[str, str]:
    """Nothing is read: the features are made up."""
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
