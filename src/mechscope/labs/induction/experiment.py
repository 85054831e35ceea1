"""Step 03 from random tokens to the verdicts: train two models, watch one of them form a circuit, take it apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mechscope.checkpoints.gpt2 import NO_GPT2, describe_gpt2, gpt2_is_available, load_gpt2
from mechscope.labs.induction.attack import attack, control
from mechscope.labs.induction.baselines import BaselineScores, best_plain, score_baselines
from mechscope.labs.induction.claims import CLAIMS
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.figures import draw_figures
from mechscope.labs.induction.figures_elsewhere import (
    TEXT_FIGURES,
    draw_gpt2,
    draw_smeared,
    draw_text_models,
)
from mechscope.labs.induction.gpt2 import (
    HeadTable,
    head_table,
)
from mechscope.labs.induction.measures import Analysis, analyse, measure, measure_smeared, measure_turning
from mechscope.labs.induction.text_models import (
    describe_text_models,
    study_text_models,
    text_measures,
    why_no_text_models,
)
from mechscope.labs.induction.training import (
    SmearedModel,
    TrainedModel,
    train_model,
    train_smeared,
)
from mechscope.labs.induction.turning_figure import draw_turning
from mechscope.labs.lab import Lab, Outcome
from mechscope.pages.formatting import with_minus
from mechscope.runs.workspace import Workspace
from mechscope.techniques.redteam import Evidence

NO_SMEARED = "one more training: it is part of the full budget"
NO_TURNING = "one seed cannot tell: it is part of the full budget"


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and take apart every seed; draw the first one."""
    gpt2 = _measure_gpt2(workspace)
    text = study_text_models(workspace)
    two = {seed: train_model(workspace, n_layers=2, seed=seed) for seed in workspace.seeds}
    one = {seed: train_model(workspace, n_layers=1, seed=seed) for seed in workspace.seeds}
    smeared: dict[int, SmearedModel] = {}
    if workspace.config.smeared:
        smeared = {seed: train_smeared(workspace, seed) for seed in workspace.seeds}
    analyses = {seed: analyse(two[seed], seed) for seed in workspace.seeds}
    rivals = {
        seed: score_baselines(two[seed], workspace.config.of_seed(seed, workspace.seeds), seed)
        for seed in workspace.seeds
    }
    measures = {
        seed: measure(two[seed], one[seed], analyses[seed], rivals[seed], seed) for seed in workspace.seeds
    }
    not_run: dict[str, str] = {}
    missing: dict[str, str] = {}
    if smeared:
        for seed, found in measures.items():
            found |= measure_smeared(smeared[seed])
    else:
        not_run["smeared"] = missing["smeared-keys"] = NO_SMEARED
    if workspace.config.turning:
        for seed, found in measures.items():
            found |= measure_turning(two[seed].history, one[seed].history)
    else:
        not_run["turning"] = missing["turning"] = NO_TURNING
    if gpt2 is None:
        not_run["gpt2-small"] = missing["gpt2"] = NO_GPT2
    if text is None:
        not_run["text-models"] = why_no_text_models() or ""
        missing |= dict.fromkeys(TEXT_FIGURES, not_run["text-models"])
    for found in measures.values():
        # These models are not of a seed: every seed is told the same.
        found |= {"gpt2_heads_found": float(gpt2.found())} if gpt2 else {}
        found |= text_measures(text) if text else {}
    first = workspace.seeds[0]
    evidence = attack(two[first], analyses[first], first)
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(two[first], one[first], analyses[first], rivals[first], evidence, first),
            *((draw_turning(two[first], one[first], first),) if workspace.config.turning else ()),
            *((draw_smeared(two[first], one[first], smeared[first], first),) if smeared else ()),
            *(draw_text_models(text, first) if text else ()),
            *((draw_gpt2(gpt2, first),) if gpt2 else ()),
        ),
        not_run=not_run,
        missing_figures=missing,
        numbers=format_numbers(
            workspace.config, measures[first], analyses[first], rivals[first], evidence, gpt2, first
        ),
        weights=_weights(two[first], one[first]),
    )


def _measure_gpt2(workspace: Workspace) -> HeadTable | None:
    if not gpt2_is_available():
        return None

    def compute() -> dict[str, Tensor]:
        return vars(head_table(load_gpt2(workspace.device), workspace.seeds[0]))

    part = workspace.load_or_compute("gpt2-small", compute)
    return HeadTable(**{name: scores.cpu() for name, scores in part.items()})


def format_numbers(
    config: InductionConfig,
    found: Mapping[str, float],
    analysis: Analysis,
    rivals: Mapping[str, BaselineScores],
    evidence: Mapping[str, Evidence],
    gpt2: HeadTable | None,
    seed: int,
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
        "q_composition",
        "v_composition",
        "gain_rival",
        "repeated_rival",
        "repeated_rule",
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
        "best_rival": best_plain(rivals),
        "redteam_heads": _tally(evidence["heads"]),
        "redteam_rule": _tally(evidence["rule"]),
        "enough": _percent(evidence["heads"], "enough"),
        "needed": _percent(evidence["heads"], "needed (mean)"),
        "swaps": _percent(evidence["rule"], "swaps that matter"),
        "swaps_by_hand": _percent(control(seed), "swaps that matter"),
        "agrees": _percent(evidence["rule"], "agrees with the model"),
        "composition_test": _composition_words(found),
        "smeared": _smeared_words(found),
        "turning": _turning_words(found),
        "text_models": _text_words(found),
        "gpt2": f"{gpt2.found()} of the 9 heads known from the literature are where they should be."
        if gpt2
        else "GPT-2 small was not on this machine, so this part was not run.",
    }


def _smeared_words(found: Mapping[str, float]) -> str:
    if "prefix_smeared" not in found:
        return "This budget did not train it."
    return (
        f"Its best prefix score is {found['prefix_smeared']:.2f}, where ordinary keys reach "
        f"{found['prefix_1l']:.2f}, and context is worth {found['gain_smeared']:.2f} nats to it instead of "
        f"{found['gain_1l']:.2f}. The head that mixes most keeps {100 * found['smeared_own_least']:.0f} % of a "
        "position's own key."
    )


def _turning_words(found: Mapping[str, float]) -> str:
    if "turn_2l" not in found:
        return "This budget did not ask."
    return (
        f"Around the change the path turns by {found['turn_2l']:.0f} degrees with two layers and by "
        f"{found['turn_1l']:.0f} with one; the sharpest turns anywhere are {found['turn_anywhere_2l']:.0f} and "
        f"{found['turn_anywhere_1l']:.0f}."
    )


def _composition_words(found: Mapping[str, float]) -> str:
    """What the test of claim 3.4a found, in words."""
    p = f"{found['relabelling_p']:.3f}"
    if not found["saturated"]:
        return (
            f"Here {100 * found['relabelling_p']:.2g} % of all relabellings do as well (p = {p}), so it does matter "
            "which heads they are."
        )
    return (
        f"Here p is {p}, and that says nothing: all heads but one of each layer, or all of them, pass for their "
        "kind, so hardly a relabelling changes anything. What can be asked then is whether the layers compose by "
        f"keys at all: the mean score by keys is {found['k_composition_mean']:.2f}, by queries "
        f"{found['q_composition_mean']:.2f}, by values {found['v_composition_mean']:.2f}, of random directions "
        f"{found['k_composition_random']:.2f}."
    )


def _tally(evidence: Evidence) -> str:
    """The verdicts in words."""
    against = evidence.with_verdict("undermines")
    for_it, checked = len(evidence.with_verdict("supports")), len(evidence.checks)
    idle = len(evidence.with_verdict("not run"))
    words = f"of {checked - idle} checks that could be made, {for_it} support it"
    names = ", ".join(f"“{rung.name}”" for rung in against)
    return (
        f"{words}, and {len(against)} speak{'s' if len(against) == 1 else ''} against it ({names})"
        if names
        else words
    )


def _percent(evidence: Evidence, name: str) -> str:
    measured = evidence[name].measured
    return "?" if measured is None else f"{100 * measured:.0f}"


def _text_words(found: Mapping[str, float]) -> str:
    if "text_prefix_2l" not in found:
        return "They were not on this machine, so this part was not run."
    shifted = with_minus(f"{found['text_shifted_r']:.2f}")
    return (
        f"At the end of its training the two-layer model has a head with prefix score {found['text_prefix_2l']:.2f}, "
        f"the one-layer model {found['text_prefix_1l']:.2f} at best. The loss on random tokens that stand twice fell "
        f"by {found['text_drop_2l']:.1f} nats with two layers and by {found['text_drop_1l']:.1f} with one. From "
        "checkpoint to checkpoint, what the two-layer model's score gains and what its loss on repeats loses "
        f"correlate by {found['text_together_r']:.2f} (p = {found['text_together_p']:.1g} among all orders of the "
        f"checkpoints); with one of the two a checkpoint late it is {shifted} "
        f"(p = {found['text_shifted_p']:.1g}). And by the test of the weights its previous-token heads feed its "
        f"induction heads (p = {found['text_relabelling_p']:.3f}; before training "
        f"{found['text_relabelling_p_untrained']:.2f}). On source code that neither was trained on, the loss is "
        f"{found['text_loss_2l']:.2f} and {found['text_loss_1l']:.2f} nats."
    )


def _weights(two: TrainedModel, one: TrainedModel) -> dict[str, Tensor]:
    models = {"two-layer": two.model, "one-layer": one.model}
    return {
        f"{name}.{key}": value for name, model in models.items() for key, value in model.state_dict().items()
    }


def describe_inputs() -> dict[str, str]:
    """The data is drawn; the only thing that may be read is GPT-2 small."""
    return {
        "data": "random tokens with a repeated segment, drawn from the seed",
        "language models": describe_text_models(),
        "GPT-2 small": describe_gpt2("claim 3.7 is"),
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
        # The last seed on four times the vocabulary, which takes about three times as long.
        "full": InductionConfig(
            smeared=True,
            turning=True,
            wider=InductionConfig(n_tokens=512, batch=64, steps=1500, smeared=True, turning=True),
        ),
    },
    seeds={"quick": 1, "full": 3},
    inputs=describe_inputs,
    experiment=run_experiment,
)
