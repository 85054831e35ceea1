"""Step 02 from pairs of numbers to the verdicts: train to grokking, then take the algorithm out of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mechscope.labs.grokking.bundled_study import ABSENT, describe_bundled, measure_bundled, study_bundled
from mechscope.labs.grokking.claims import CLAIMS
from mechscope.labs.grokking.composition import Composition, measure_composition, train_composition
from mechscope.labs.grokking.config import (
    COMPOSITION,
    PAPER,
    ROUNDING,
    SMALL,
    CompositionConfig,
    ModelConfig,
)
from mechscope.labs.grokking.figures import draw_figures
from mechscope.labs.grokking.figures_other_models import (
    draw_characters,
    draw_directions,
    draw_faithfulness,
    draw_rounding,
)
from mechscope.labs.grokking.measures import (
    Analysis,
    analyse,
    measure,
    measure_hand_wired,
    measure_sweep,
)
from mechscope.labs.grokking.rounding import measure_rounding, rounding_experiment
from mechscope.labs.grokking.structure import Structure
from mechscope.labs.grokking.sweep import SweepRun, run_sweep
from mechscope.labs.grokking.third_party import measure_third_party, models_folder
from mechscope.labs.grokking.training import train_model
from mechscope.labs.lab import Lab, Outcome
from mechscope.runs.workspace import Workspace

NO_PAPER = "training p = 113 takes minutes: it is part of the full budget"
NO_SWEEP = "nine more trainings: they are part of the full budget"
NO_ROUNDING = "two trainings of 5,000 epochs: they are part of the full budget"
NO_COMPOSITION = "training a network to compose permutations takes minutes: it is part of the full budget"
NO_MODELS = "the published models are not on this machine: put them under $MECHSCOPE_DATA/models"
FIGURES = {
    "sweep": ("sweep", "dates"),
    "models": ("clock-and-pizza",),
    "rounding": ("rounding",),
    "composition": ("characters",),
    "bundled": ("faithfulness", "directions"),
}
"""What a claim may need → the figures that need it too."""


@dataclass(frozen=True)
class GrokkingConfig:
    """Settings of step 02."""

    small: ModelConfig = SMALL
    """Trained in every budget."""
    large: ModelConfig | None = None
    """Trained in the full budget: the paper's model."""
    sweep: bool = False
    """Whether the amount of data and the weight decay are varied, with the small model."""
    rounding: ModelConfig | None = None
    """Trained twice in the full budget, with a float64 and a float32 loss."""
    composition: CompositionConfig | None = None
    """Trained in the full budget: composes permutations."""
    hand_wired: ModelConfig = field(default=PAPER)
    """Architecture whose weights are written by hand."""


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings."""

    drawn: Mapping[str, float]
    """Measures of the model that the figures show, named without its size ("keys", not "small_keys")."""
    keys: tuple[int, ...]
    """The key frequencies of this model."""
    highest_test_loss: float
    """Its highest loss on unseen pairs during the training, in nats."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and measure every seed; draw the first one."""
    config: GrokkingConfig = workspace.config
    seeds, first = workspace.seeds, workspace.seeds[0]
    folder = models_folder()
    third_party = measure_third_party(workspace, folder) if folder else None
    small = {seed: _train_and_analyse(workspace, config.small, seed, "small") for seed in seeds}
    large: dict[int, Analysis] = {}
    if config.large:
        large = {seed: _train_and_analyse(workspace, config.large, seed, "p113") for seed in seeds}
    sweeps: dict[int, dict[str, SweepRun]] = {}
    if config.sweep:
        sweeps = {seed: run_sweep(workspace, config.small, seed) for seed in seeds}
    rounding: dict[int, dict[str, Structure]] = {}
    if config.rounding:
        rounding = {seed: rounding_experiment(workspace, config.rounding, seed) for seed in seeds}
    composition: dict[int, Composition] = {}
    if config.composition:
        composition = {seed: train_composition(workspace, config.composition, seed) for seed in seeds}
    bundled = study_bundled(workspace)
    measures: dict[int, dict[str, float]] = {}
    for seed in seeds:
        measures[seed] = measure(small[seed], "small") | measure_hand_wired(seed, config.hand_wired)
        if large:
            measures[seed] |= measure(large[seed], "p113")
        if sweeps:
            measures[seed] |= measure_sweep(sweeps[seed])
        if rounding:
            measures[seed] |= measure_rounding(rounding[seed])
        if composition:
            measures[seed] |= measure_composition(composition[seed])
        # The bundled and the published models do not depend on the seed.
        if bundled:
            measures[seed] |= measure_bundled(bundled)
        if third_party:
            measures[seed] |= {name: float(value) for name, value in third_party.items() if value.ndim == 0}
    not_run = (
        ({} if large else {"p113": NO_PAPER})
        | ({} if sweeps else {"sweep": NO_SWEEP})
        | ({} if rounding else {"rounding": NO_ROUNDING})
        | ({} if composition else {"composition": NO_COMPOSITION})
        | ({} if bundled else {"bundled": ABSENT})
        | ({} if third_party else {"models": NO_MODELS})
    )
    drawn, size = (large[first], "p113") if large else (small[first], "small")
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(drawn, sweeps.get(first), third_party, first),
            *((draw_faithfulness(bundled, first), draw_directions(bundled, first)) if bundled else ()),
            *((draw_rounding(rounding[first], first),) if rounding else ()),
            *((draw_characters(composition[first], first),) if composition else ()),
        ),
        not_run=not_run,
        missing_figures={
            figure: reason for need, reason in not_run.items() for figure in FIGURES.get(need, ())
        },
        facts=_facts(drawn, measures[first], size),
        weights={f"p{drawn.trained.config.p}.{key}": value for key, value in drawn.trained.weights.items()},
    )


def _train_and_analyse(workspace: Workspace, config: ModelConfig, seed: int, size: str) -> Analysis:
    name = f"{size}-seed-{seed}"
    return analyse(workspace, train_model(workspace, config, seed, name), name)


def _facts(drawn: Analysis, measures: Mapping[str, float], size: str) -> Facts:
    prefix = f"{size}_"
    return Facts(
        drawn={
            name.removeprefix(prefix): value for name, value in measures.items() if name.startswith(prefix)
        },
        keys=tuple(drawn.structure.keys),
        highest_test_loss=float(drawn.trained.history.test_loss.max()),
    )


def describe_inputs() -> dict[str, str]:
    """The data and the models that a run would read, in words; the data itself is generated."""
    published = models_folder() is not None
    return {
        "data": "all pairs of numbers modulo p, split by the seed",
        "bundled model": describe_bundled(),
        "published models": "on this machine, checksums as published"
        if published
        else "not on this machine (claims 2.11 are not run)",
    }


LAB = Lab(
    step="02",
    slug="grokking",
    title="Grokking modular addition",
    idea="A network can learn an algorithm, and the algorithm can be read out of its weights.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={
        "quick": GrokkingConfig(),
        "full": GrokkingConfig(large=PAPER, sweep=True, rounding=ROUNDING, composition=COMPOSITION),
    },
    seeds={"quick": 1, "full": 2},
    inputs=describe_inputs,
    experiment=run_experiment,
)
