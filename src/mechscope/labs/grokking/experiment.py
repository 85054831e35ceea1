"""Step 02 from pairs of numbers to the verdicts: train to grokking, then take the algorithm out of the weights."""

from __future__ import annotations

import math
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
from mechscope.labs.grokking.figures_elsewhere import (
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


@dataclass(frozen=True)
class GrokkingConfig:
    """Settings of step 02."""

    small: ModelConfig = SMALL
    """Trained in every budget."""
    large: ModelConfig | None = None
    """Trained in the full budget: the paper's model."""
    sweep: bool = False
    """Whether data and weight decay are varied, with the small model."""
    rounding: ModelConfig | None = None
    """Trained twice in the full budget, with a float64 and a float32 loss."""
    composition: CompositionConfig | None = None
    """Trained in the full budget: composes permutations."""
    hand_wired: ModelConfig = field(default=PAPER)
    """Architecture that is wired by hand."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and measure every seed; draw the first one."""
    config: GrokkingConfig = workspace.config
    folder = models_folder()
    third = measure_third_party(workspace, folder) if folder else None
    small = {seed: _train_and_analyse(workspace, config.small, seed, "small") for seed in workspace.seeds}
    large: dict[int, Analysis] = {}
    if config.large:
        large = {seed: _train_and_analyse(workspace, config.large, seed, "p113") for seed in workspace.seeds}
    sweeps: dict[int, dict[str, SweepRun]] = {}
    if config.sweep:
        sweeps = {seed: run_sweep(workspace, config.small, seed) for seed in workspace.seeds}
    rounding: dict[int, dict[str, Structure]] = {}
    if config.rounding:
        rounding = {seed: rounding_experiment(workspace, config.rounding, seed) for seed in workspace.seeds}
    composition: dict[int, Composition] = {}
    if config.composition:
        composition = {
            seed: train_composition(workspace, config.composition, seed) for seed in workspace.seeds
        }
    bundled = study_bundled(workspace)
    measures: dict[int, dict[str, float]] = {}
    for seed in workspace.seeds:
        measures[seed] = measure(small[seed], "small") | measure_hand_wired(seed, config.hand_wired)
        if large:
            measures[seed] |= measure(large[seed], "p113")
        if sweeps:
            measures[seed] |= measure_sweep(sweeps[seed])
        if rounding:
            measures[seed] |= measure_rounding(rounding[seed])
        if composition:
            measures[seed] |= measure_composition(composition[seed])
        if bundled:
            # The bundled model does not depend on the seed.
            measures[seed] |= measure_bundled(bundled)
        if third:
            measures[seed] |= {name: float(value) for name, value in third.items() if value.ndim == 0}
    first = workspace.seeds[0]
    shown = (large or small)[first]
    not_run = (
        ({} if large else {"p113": NO_PAPER})
        | ({} if sweeps else {"sweep": NO_SWEEP})
        | ({} if rounding else {"rounding": NO_ROUNDING})
        | ({} if composition else {"composition": NO_COMPOSITION})
        | ({} if bundled else {"bundled": ABSENT})
    )
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(shown, sweeps.get(first), third, first),
            *((draw_faithfulness(bundled, first), draw_directions(bundled, first)) if bundled else ()),
            *((draw_rounding(rounding[first], first),) if rounding else ()),
            *((draw_characters(composition[first], first),) if composition else ()),
        ),
        not_run=not_run | ({} if third else {"models": NO_MODELS}),
        missing_figures=({} if sweeps else dict.fromkeys(("sweep", "dates"), NO_SWEEP))
        | ({} if third else {"clock-and-pizza": NO_MODELS})
        | ({} if rounding else {"rounding": NO_ROUNDING})
        | ({} if composition else {"characters": NO_COMPOSITION})
        | ({} if bundled else dict.fromkeys(("faithfulness", "directions"), ABSENT)),
        numbers=format_numbers(shown, measures[first], "p113" if large else "small"),
        weights={f"p{shown.trained.config.p}.{key}": value for key, value in shown.trained.weights.items()},
    )


def _train_and_analyse(workspace: Workspace, config: ModelConfig, seed: int, size: str) -> Analysis:
    name = f"{size}-seed-{seed}"
    return analyse(workspace, train_model(workspace, config, seed, name), name)


def format_numbers(shown: Analysis, found: Mapping[str, float], size: str) -> dict[str, str]:
    """The numbers that the lesson quotes, all of the model that is drawn."""
    config = shown.trained.config

    def of(name: str) -> float:
        return found[f"{size}_{name}"]

    def epoch(name: str) -> str:
        return f"{of(name):,.0f}"

    history = shown.trained.history
    return {
        "p": str(config.p),
        "pairs": f"{config.p**2:,}",
        "n_train": f"{config.n_train:,}",
        "fraction": f"{100 * config.fraction:.0f}",
        "d_model": str(config.d_model),
        "d_mlp": str(config.d_mlp),
        "guessing": f"{of('guessing'):.2f}",
        "memorised": epoch("memorised_epoch"),
        "grokked": epoch("grokked_epoch"),
        "epochs": epoch("epochs"),
        "worst_test_loss": f"{float(history.test_loss.max()):.1f}",
        "test_accuracy": f"{of('test_accuracy'):.2f}",
        "test_loss": f"{of('test_loss'):.1e}",
        "unmirrored": f"{of('unmirrored_accuracy'):.1f}",
        "keys": ", ".join(map(str, shown.structure.keys)),
        "n_keys": str(len(shown.structure.keys)),
        "explained": f"{of('explained'):.1f}",
        "outside": f"{of('outside'):.1f}",
        "single_neurons": f"{of('single_neurons'):.0f}",
        "mixed_neurons": _mixed_words(of("mixed_firing"), of("mixed_influence")),
        "dates": _dates_words(found),
        "bundled": _bundled_words(found),
        "rounding": _rounding_words(found),
        "composition": _composition_words(found),
        "composition_ablation": _composition_ablation_words(found),
        "separation": _power(of("separation")),
        "restricted_epoch": epoch("restricted_epoch"),
        "test_epoch": epoch("test_epoch"),
        "excluded_rise": _power(of("excluded_rise")),
        "hand_wired": f"{found['hand_wired_accuracy']:.0f}",
        "hand_wired_spoilt": f"{found['hand_wired_spoilt']:.1f}",
        "third_party": _third_party_words(found),
    }


def _power(value: float) -> str:
    # Two digits, written out: 1.18e+04 is for programs.
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def _mixed_words(firing: float, influence: float) -> str:
    if not math.isfinite(firing):
        return "There are no others."
    return (
        f"The others are active on {firing:.0f} % of all pairs, so their ReLU is nearly a straight line, and a "
        f"straight line multiplies nothing; of what all neurons do to the logits, theirs is {influence:.1f} %."
    )


def _dates_words(found: Mapping[str, float]) -> str:
    if "sweep_least_later" not in found:
        return "This budget did not train them."
    strong = found["sweep_strong_decay"]
    words = (
        f"With {SMALL.fraction:.0%} of the pairs it takes {found['sweep_latest_over_earliest']:.0f} times as long as "
        f"with 60 %. A decay of 0.3 times the usual makes it {found['sweep_weak_decay_later']:.1f} times as late; one "
        "of 3 times, "
    )
    return words + (f"{strong:.1f} times." if strong else "and it never gets there.")


def _bundled_words(found: Mapping[str, float]) -> str:
    if "replaced_whole" not in found:
        return "It was not on this machine, so this part was not run."

    def change(name: str) -> str:
        return f"{100 * (found[f'replaced_{name}'] / found['replaced_whole'] - 1):+.0f} %".replace("-", "−")

    return (
        f"The loss changes by {change('sums')}, {change('waves')} and {change('inside')}. Without these directions "
        f"it is {found['replaced_outside']:.2f} nats, where guessing costs {found['bundled_guessing']:.2f}. (The "
        "paper saw −77, −70 and −50 %, and 5.27 nats.) With the mean over all pairs kept, which cannot tell one pair "
        f"from another, the first two changes are {change('sums_and_mean')} and {change('waves_and_mean')}."
    )


def _rounding_words(found: Mapping[str, float]) -> str:
    if "rounding_float32_outside" not in found:
        return "This budget did not train these two."
    return (
        f"With the exact loss the formula explains {found['rounding_float64_explained']:.1f} % of the logits, and "
        f"{found['rounding_float64_outside']:.2f} % of $W_L$ lies outside the key frequencies; with the rounded one "
        f"{found['rounding_float32_explained']:.1f} % and {found['rounding_float32_outside']:.2f} %."
    )


def _composition_words(found: Mapping[str, float]) -> str:
    if "s5_explained" not in found:
        return "This budget did not train it."
    return (
        f"It knew its pairs by heart at epoch {found['s5_memorised_epoch']:,.0f}, and all of them from epoch "
        f"{found['s5_grokked_epoch']:,.0f} on. The characters of {found['s5_keys']:.0f} of the six irreps explain "
        f"{found['s5_explained']:.0f} % of its logits. When it had only memorised, all six explained "
        f"{found['s5_memorised_explained']:.1f} %. With the two permutations in the wrong order, those that notice the "
        f"order fall from {found['s5_ordered_explained']:.0f} to {found['s5_swapped_explained']:.1f} %."
    )


def _composition_ablation_words(found: Mapping[str, float]) -> str:
    if "s5_whole" not in found:
        return "This budget did not train it."
    return (
        f"The loss of the whole network over all pairs is {found['s5_whole']:.1e} nats. With nothing left in the "
        f"neurons but the key irreps it is {found['s5_keys_kept']:.1e}; without them it is "
        f"{found['s5_keys_removed']:.1f}, where guessing costs {found['s5_guessing']:.1f}. Keeping only the other "
        f"irreps leaves {found['s5_others_kept']:.1f}."
    )


def _third_party_words(found: Mapping[str, float]) -> str:
    if "clock_irrelevance" not in found:
        return "The published models were not on this machine, so this part was not run."
    return (
        f"Distance irrelevance came out as {found['clock_irrelevance']:.3f} for the clock and "
        f"{found['pizza_irrelevance']:.3f} for the pizza; gradient symmetricity as "
        f"{found['clock_symmetricity']:.2f} and {found['pizza_symmetricity']:.3f}."
    )


def describe_inputs() -> dict[str, str]:
    """The pairs are all there are; the only things that may be read are the published models."""
    there = models_folder() is not None
    return {
        "data": "all pairs of numbers modulo p, split by the seed",
        "bundled model": describe_bundled(),
        "published models": "on this machine, checksums as published"
        if there
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
