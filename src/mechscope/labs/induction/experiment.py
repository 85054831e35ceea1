"""Step 03 from random tokens to the verdicts: train two models, watch one of them form a circuit, take it apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mechscope.labs.induction.claims import CLAIMS
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.figures import draw_figures
from mechscope.labs.induction.gpt2 import HeadTable, gpt2_in_reach, head_table, load_gpt2
from mechscope.labs.induction.measures import Analysis, analyse, measure
from mechscope.labs.induction.training import TrainedModel, train_model
from mechscope.labs.lab import Lab, Outcome
from mechscope.labs.workshop import Workshop

NO_GPT2 = "GPT-2 small is not on this machine; `mechscope doctor` says how to get it"


def run_experiment(workshop: Workshop) -> Outcome:
    """Train and take apart every seed; draw the first one."""
    gpt2 = _measure_gpt2(workshop)
    two = {seed: train_model(workshop, n_layers=2, seed=seed) for seed in workshop.seeds}
    one = {seed: train_model(workshop, n_layers=1, seed=seed) for seed in workshop.seeds}
    analyses = {seed: analyse(two[seed], seed) for seed in workshop.seeds}
    measures = {seed: measure(two[seed], one[seed], analyses[seed], seed) for seed in workshop.seeds}
    if gpt2 is not None:
        for found in measures.values():
            found["gpt2_heads_found"] = float(gpt2.found())
    first = workshop.seeds[0]
    return Outcome(
        measures=measures,
        figures=draw_figures(two[first], one[first], analyses[first], gpt2, first),
        not_run={} if gpt2 else {"gpt2-small": NO_GPT2},
        missing_figures={} if gpt2 else {"gpt2": NO_GPT2},
        numbers=format_numbers(workshop.config, measures[first], analyses[first], gpt2),
        weights=_weights(two[first], one[first]),
    )


def _measure_gpt2(workshop: Workshop) -> HeadTable | None:
    if not gpt2_in_reach():
        return None

    def compute() -> dict[str, Tensor]:
        return vars(head_table(load_gpt2(workshop.device), workshop.seeds[0]))

    part = workshop.part("gpt2-small", compute)
    return HeadTable(**{name: scores.cpu() for name, scores in part.items()})


def format_numbers(
    config: InductionConfig, found: Mapping[str, float], analysis: Analysis, gpt2: HeadTable | None
) -> dict[str, str]:
    """The numbers that the lesson quotes."""

    def heads(chosen: tuple[tuple[int, int], ...]) -> str:
        return ", ".join(f"{layer}.{head}" for layer, head in chosen)

    two_digits = (
        "prefix_2l",
        "prefix_1l",
        "gain_2l",
        "gain_1l",
        "repeated_2l",
        "repeated_1l",
        "k_composition",
    )
    numbers = {name: f"{found[name]:.2f}" for name in (*two_digits, "k_composition_random", "copying")}
    numbers |= {
        name: f"{value:.0f}"
        for name, value in found.items()
        if name.startswith(("change", "abrupt", "removed"))
    }
    return numbers | {
        "n_tokens": str(config.n_tokens),
        "n_ctx": str(config.n_ctx),
        "steps": f"{config.steps:,}",
        "half": str(config.half),
        "guessing": f"{config.guessing_loss:.2f}",
        "n_heads": str(config.n_heads),
        "induction_heads": heads(analysis.induction_heads),
        "previous_heads": heads(analysis.previous_heads),
        "prefix_without_previous": f"{found['prefix_without_previous']:.2f}",
        "hand_wired_accuracy": f"{found['hand_wired_accuracy']:.0f}",
        "gpt2": f"{gpt2.found()} of the 9 heads known from the literature are where they should be."
        if gpt2
        else "GPT-2 small was not on this machine, so this part was not run.",
    }


def _weights(two: TrainedModel, one: TrainedModel) -> dict[str, Tensor]:
    models = {"two-layer": two.model, "one-layer": one.model}
    return {
        f"{name}.{key}": value for name, model in models.items() for key, value in model.state_dict().items()
    }


def describe_inputs() -> dict[str, str]:
    """The data is drawn; the only thing that may be read is GPT-2 small."""
    return {
        "data": "random tokens with a repeated segment, drawn from the seed",
        "GPT-2 small": "on this machine" if gpt2_in_reach() else "not on this machine (claim 3.7 is not run)",
    }


LAB = Lab(
    step="03",
    slug="induction",
    title="Induction heads",
    idea="Two attention heads, one behind the other, make a circuit that learns from context.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={
        "quick": InductionConfig(),
        "full": InductionConfig(n_tokens=512, batch=64, steps=1500),
    },
    seeds={"quick": 1, "full": 3},
    inputs=describe_inputs,
    experiment=run_experiment,
)
