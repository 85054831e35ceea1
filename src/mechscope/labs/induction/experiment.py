"""Step 03: train two models on random tokens, watch one of them form a circuit, and take it apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mechscope.checkpoints.lab_models import GPT2_SMALL, SMOLLM2
from mechscope.labs.head_names import head_name
from mechscope.labs.induction.attack import attack, control
from mechscope.labs.induction.baselines import BaselineScores, best_plain, score_baselines
from mechscope.labs.induction.claims import CLAIMS
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.figures import draw_figures
from mechscope.labs.induction.gpt2 import HeadTable, head_table
from mechscope.labs.induction.measures import Analysis, analyse, measure, measure_smeared, measure_turning
from mechscope.labs.induction.smollm2 import SmolLM2Study, smollm2_measures, study_smollm2
from mechscope.labs.induction.smollm2_figures import SMOLLM2_FIGURES, draw_smollm2
from mechscope.labs.induction.text_model_figures import TEXT_FIGURES, draw_gpt2, draw_text_models
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
from mechscope.labs.induction.training_figures import draw_smeared, draw_turning
from mechscope.labs.lab import Lab, Outcome
from mechscope.runs.workspace import Workspace
from mechscope.techniques.redteam import Evidence

NO_SMEARED = "this needs one more training, which is part of the full budget"
NO_TURNING = "this takes several seeds, so it is part of the full budget"


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings. Shares are NaN for checks that could not be made."""

    induction_heads: tuple[str, ...]
    """Names of the induction heads."""
    previous_heads: tuple[str, ...]
    """Names of the previous-token heads."""
    best_baseline: str
    """Name of the baseline with the largest in-context gain."""
    pair_checks: int
    """Checks that could be made of the hypothesis that one head of each kind carries induction."""
    pair_supporting: int
    """How many of them support it."""
    pair_against: tuple[str, ...]
    """Names of those that undermine it."""
    pair_enough: float
    """Share of the behaviour that the pair has on its own."""
    pair_needed: float
    """Share that is lost without it."""
    rule_checks: int
    """Checks that could be made of the hypothesis that the model follows the induction rule."""
    rule_supporting: int
    """How many of them support it."""
    rule_against: tuple[str, ...]
    """Names of those that undermine it."""
    rule_agrees: float
    """Share of prompts on which model and rule agree."""
    rule_swaps: float
    """Share of swapped tokens after which the model's answer changes with the rule's."""
    hand_wired_swaps: float
    """The same share for the hand-wired model."""
    smollm2_induction_heads: tuple[str, ...] = ()
    """Names of the five best induction heads of SmolLM2-135M, the best first; empty without it."""
    smollm2_previous_heads: tuple[str, ...] = ()
    """Names of its two best previous-token heads."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and analyse every seed, and draw the figures of the first."""
    gpt2 = _measure_gpt2(workspace)
    smollm2 = _study_smollm2(workspace)
    text = study_text_models(workspace)
    two = {seed: train_model(workspace, n_layers=2, seed=seed) for seed in workspace.seeds}
    one = {seed: train_model(workspace, n_layers=1, seed=seed) for seed in workspace.seeds}
    smeared: dict[int, SmearedModel] = {}
    if workspace.config.smeared:
        smeared = {seed: train_smeared(workspace, seed) for seed in workspace.seeds}
    analyses = {seed: analyse(two[seed], seed) for seed in workspace.seeds}
    baselines = {
        seed: score_baselines(two[seed], workspace.config.of_seed(seed, workspace.seeds), seed)
        for seed in workspace.seeds
    }
    measures = {
        seed: measure(two[seed], one[seed], analyses[seed], baselines[seed], seed) for seed in workspace.seeds
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
        not_run["gpt2-small"] = missing["gpt2"] = GPT2_SMALL.missing
    if smollm2:
        for seed, study in smollm2.items():
            measures[seed] |= smollm2_measures(study)
    else:
        not_run["smollm2"] = SMOLLM2.missing
        missing |= dict.fromkeys(SMOLLM2_FIGURES, SMOLLM2.missing)
    if text is None:
        not_run["text-models"] = why_no_text_models() or ""
        missing |= dict.fromkeys(TEXT_FIGURES, not_run["text-models"])
    for found in measures.values():
        # These models do not depend on the seed, so every seed has the same measures.
        found |= {"gpt2_heads_found": float(gpt2.found())} if gpt2 else {}
        found |= text_measures(text) if text else {}
    first = workspace.seeds[0]
    evidence = attack(two[first], analyses[first], first)
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(two[first], one[first], analyses[first], baselines[first], evidence, first),
            *((draw_turning(two[first], one[first], first),) if workspace.config.turning else ()),
            *((draw_smeared(two[first], one[first], smeared[first], first),) if smeared else ()),
            *(draw_text_models(text, first) if text else ()),
            *(draw_smollm2(smollm2[first], first) if smollm2 else ()),
            *((draw_gpt2(gpt2, first),) if gpt2 else ()),
        ),
        not_run=not_run,
        missing_figures=missing,
        facts=_facts(analyses[first], baselines[first], evidence, smollm2.get(first), first),
        weights=_weights(two[first], one[first]),
    )


def _measure_gpt2(workspace: Workspace) -> HeadTable | None:
    if not GPT2_SMALL.is_available:
        return None

    def compute() -> dict[str, Tensor]:
        return vars(head_table(GPT2_SMALL.load(workspace.device), workspace.seeds[0]))

    part = workspace.load_or_compute("gpt2-small", compute)
    return HeadTable(**{name: scores.cpu() for name, scores in part.items()})


def _study_smollm2(workspace: Workspace) -> dict[int, SmolLM2Study]:
    """Seed → what was found with its sequences; empty without the model."""
    if not SMOLLM2.is_available:
        return {}
    sequences, draws = workspace.config.real_sequences, workspace.config.real_draws
    found: dict[int, SmolLM2Study] = {}
    with workspace.bar(len(workspace.seeds), SMOLLM2.title) as bar:
        for seed in workspace.seeds:
            found[seed] = study_smollm2(workspace, seed, sequences, draws)
            bar.update()
    return found


def _facts(
    analysis: Analysis,
    baselines: Mapping[str, BaselineScores],
    evidence: Mapping[str, Evidence],
    smollm2: SmolLM2Study | None,
    seed: int,
) -> Facts:
    pair, rule = evidence["heads"], evidence["rule"]
    swaps = "swaps that matter"
    return Facts(
        induction_heads=tuple(map(head_name, analysis.induction_heads)),
        previous_heads=tuple(map(head_name, analysis.previous_heads)),
        best_baseline=best_plain(baselines),
        pair_checks=_checks_made(pair),
        pair_supporting=len(pair.with_verdict("supports")),
        pair_against=_against(pair),
        pair_enough=_measured(pair, "enough"),
        pair_needed=_measured(pair, "needed (mean)"),
        rule_checks=_checks_made(rule),
        rule_supporting=len(rule.with_verdict("supports")),
        rule_against=_against(rule),
        rule_agrees=_measured(rule, "agrees with the model"),
        rule_swaps=_measured(rule, swaps),
        hand_wired_swaps=_measured(control(seed), swaps),
        smollm2_induction_heads=() if smollm2 is None else tuple(map(head_name, smollm2.induction_heads)),
        smollm2_previous_heads=() if smollm2 is None else tuple(map(head_name, smollm2.previous_heads)),
    )


def _checks_made(evidence: Evidence) -> int:
    return len(evidence.checks) - len(evidence.with_verdict("not run"))


def _against(evidence: Evidence) -> tuple[str, ...]:
    return tuple(check.name for check in evidence.with_verdict("undermines"))


def _measured(evidence: Evidence, check: str) -> float:
    found = evidence[check].measured
    return float("nan") if found is None else found


def _weights(two: TrainedModel, one: TrainedModel) -> dict[str, Tensor]:
    models = {"two-layer": two.model, "one-layer": one.model}
    return {
        f"{name}.{key}": value for name, model in models.items() for key, value in model.state_dict().items()
    }


def describe_inputs() -> dict[str, str]:
    """The data is drawn at random. Language models are read if they are on this machine."""
    return {
        "data": "random tokens with a repeated segment, drawn from the seed",
        "language models": describe_text_models(),
        "SmolLM2-135M": SMOLLM2.describe("claims 3.s1 to 3.s4 are"),
        "GPT-2 small": GPT2_SMALL.describe("claim 3.7 is"),
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
        # The last seed has four times the vocabulary, which takes about three times as long.
        "full": InductionConfig(
            smeared=True,
            turning=True,
            real_sequences=5,
            real_draws=8,
            wider=InductionConfig(n_tokens=512, batch=64, steps=1500, smeared=True, turning=True),
        ),
    },
    seeds={"quick": 1, "full": 3},
    inputs=describe_inputs,
    experiment=run_experiment,
)
