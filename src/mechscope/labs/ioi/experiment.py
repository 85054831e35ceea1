"""Step 04 from prompts to verdicts: one pipeline for the twin and planted circuits, and GPT-2 small where it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.checkpoints.gpt2 import NO_GPT2, describe_gpt2, gpt2_is_available, load_gpt2
from mechscope.checkpoints.load import load_model
from mechscope.labs.bundled_inputs import bundled_checksum
from mechscope.labs.ioi.anatomy import Anatomy, NoCircuitError
from mechscope.labs.ioi.claims import ACDC, CLAIMS, EDGES, GPT2, RETRAINED
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.figures import draw_figures
from mechscope.labs.ioi.gpt2 import gpt2_measures
from mechscope.labs.ioi.heads import in_words, node_of
from mechscope.labs.ioi.measures import Measured, held_out_accuracy, measure_twin, planted_measures
from mechscope.labs.ioi.other_circuits import other_circuit_measures
from mechscope.labs.ioi.planted_circuit import recover
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_twin
from mechscope.labs.lab import Lab, Outcome
from mechscope.runs.workspace import Workspace
from mechscope.tasks.indirect_object import ioi
from mechscope.techniques.redteam import Evidence, Heads, redteam

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TWIN = "ioi-twin"
NO_ACDC = "ACDC over GPT-2 small's 32,491 edges takes a GPU and GPT-2 small; one of them is not here"
NO_EDGES = "ACDC on both circuits takes GPT-2 small, attn-only-4l and a GPU; one of them is not here"
NO_TRAINING = "only the full budget trains new twins"


def run_experiment(workspace: Workspace) -> Outcome:
    """Take the twin apart with every seed's prompts; draw the first."""
    config: IOIConfig = workspace.config
    published = _gpt2_measures(workspace)
    twin = load_model(TWIN).to(workspace.device)
    planted = [recover(seed, config.prompts, config.threshold) for seed in range(config.planted_seeds)]
    others = other_circuit_measures(workspace, config.gpt2_prompts)
    shared = planted_measures(planted) | published | others | _retrained(workspace)
    found: dict[int, Measured] = {}
    with workspace.bar(len(workspace.seeds), "taking the twin apart") as bar:
        for seed in workspace.seeds:
            found[seed] = measure_twin(twin, config, seed)
            bar.update()
    measures = {
        seed: {f"twin_{name}": value for name, value in one.measures.items()} | shared
        for seed, one in found.items()
    }
    not_run = {} if others else {EDGES: NO_EDGES}
    not_run |= {} if published else {GPT2: NO_GPT2}
    not_run |= {} if "gpt2_acdc_edge_auc" in published else {ACDC: NO_ACDC}
    not_run |= {} if "retrained_share" in shared else {RETRAINED: NO_TRAINING}
    first = workspace.seeds[0]
    told = found[first]
    if told.anatomy is None:
        raise NoCircuitError(f"there is nothing to tell of: {told.reason}")
    evidence = attack(twin, told.anatomy, config, first)
    return Outcome(
        measures=measures,
        figures=draw_figures(told.anatomy, told.rivals, measures[first], evidence, first),
        not_run=not_run,
        numbers=format_numbers(told.anatomy, told.rivals, measures[first], evidence, config),
        weights=dict(twin.state_dict()),
    )


def attack(model: HookedTransformer, anatomy: Anatomy, config: IOIConfig, seed: int) -> Evidence:
    """The red team against "these heads carry the behaviour"."""
    nodes = [node_of(head) for head in anatomy.roles.places]
    hypothesis = Heads(nodes, claim="the heads of the circuit carry the behaviour")
    task = ioi(model, config.prompts, seed + 2000)
    return redteam(model, task, hypothesis, n_null=config.redteam_draws, seed=seed, progress=False)


def _gpt2_measures(workspace: Workspace) -> dict[str, float]:
    if not gpt2_is_available():
        return {}
    acdc = workspace.device.type == "cuda"

    def compute() -> dict[str, Tensor]:
        model = load_gpt2(workspace.device)
        found = gpt2_measures(model, workspace.config, workspace.seeds[0], acdc=acdc)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    return {
        f"gpt2_{name}": float(value)
        for name, value in workspace.load_or_compute("gpt2-small", compute).items()
    }


def _retrained(workspace: Workspace) -> dict[str, float]:
    config: IOIConfig = workspace.config
    if not config.retrained:
        return {}
    stories = Stories()
    seeds = range(RETRAIN_FROM, RETRAIN_FROM + config.retrained)
    learnt = [
        held_out_accuracy(train_twin(workspace, TwinConfig(), seed), stories, config.judged_prompts, seed)
        >= 95
        for seed in seeds
    ]
    return {"retrained_share": 100 * sum(learnt) / len(learnt)}


RETRAIN_FROM = 10
"""First seed of the twins that are trained anew; the bundled one and those that settings were chosen on come before."""


def format_numbers(
    anatomy: Anatomy,
    rivals: Mapping[str, float],
    found: Mapping[str, float],
    evidence: Evidence,
    config: IOIConfig,
) -> dict[str, str]:
    """The numbers that the lesson quotes."""
    twin = {name.removeprefix("twin_"): value for name, value in found.items() if name.startswith("twin_")}
    numbers = {name: f"{value:.0f}" for name, value in twin.items()}
    numbers |= {
        name: f"{twin[name]:.2f}"
        for name in (
            "logit_difference",
            "attribution_r",
            "attribution_r_early",
            "discovery_auc",
            "acdc_edge_auc",
            "misled_logit_difference",
        )
    }
    judgement = anatomy.judgement
    best = max(rivals, key=lambda name: rivals[name])
    classes = anatomy.roles.classes
    numbers |= {
        "roles": anatomy.roles.in_words(),
        "movers": in_words(classes.get("name mover", ())),
        "readers": in_words((*classes.get("S-inhibition", ()), *classes.get("S-suppressor", ()))),
        "markers": in_words((*classes.get("duplicate token", ()), *classes.get("induction", ()))),
        "n_heads": str(len(anatomy.roles.places)),
        "n_all_heads": str(anatomy.direct.values.size),
        "n_edges": str(len(anatomy.trace.edges)),
        "threshold": f"{100 * config.threshold:.0f}",
        "prompts": str(config.prompts),
        "best_rival_name": best,
        "random_median": _median(judgement.nulls.random),
        "matched_median": _median(judgement.nulls.matched),
        "movers_lost": "–" if anatomy.backups is None else f"{100 * anatomy.backups.lost:.0f}",
        "planted_seeds": str(config.planted_seeds),
        "planted_exact": f"{found['planted_exact']:.0f}",
        "supports": str(len(evidence.with_verdict("supports"))),
        "undermines": str(len(evidence.with_verdict("undermines"))),
        "inconclusive": str(len(evidence.with_verdict("inconclusive"))),
        "made": str(len(evidence.checks) - len(evidence.with_verdict("not run"))),
        "cheapest": evidence.cheapest_falsifier.split(" Give ", maxsplit=1)[0],
        "gpt2": "GPT-2 small was measured too; its claims are in the table."
        if "gpt2_logit_difference" in found
        else "GPT-2 small was not on this machine, so the claims about it are printed as not run.",
    }
    return numbers


def _median(draws: tuple[float, ...]) -> str:
    return f"{100 * sorted(draws)[len(draws) // 2]:.0f}" if draws else "–"


def describe_inputs() -> dict[str, str]:
    """The twin and its words come with the package; GPT-2 small may be there or not."""
    return {
        "twin": f"ioi-twin, bundled (sha256 {bundled_checksum('ioi-twin')}…)",
        "GPT-2 small": describe_gpt2("claims 4.1 to 4.13 are"),
    }


LAB = Lab(
    step="04",
    slug="ioi",
    title="Indirect object identification",
    idea="A circuit is a claim about causes, and must survive being cut.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={
        "quick": IOIConfig(),
        "full": IOIConfig(planted_seeds=6, null_draws=40, redteam_draws=59, gpt2_prompts=48, retrained=1),
    },
    seeds={"quick": 1, "full": 3},
    inputs=describe_inputs,
    experiment=run_experiment,
)
