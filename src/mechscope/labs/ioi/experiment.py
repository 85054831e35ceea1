"""Step 04: find and judge a circuit in the twin and in planted models, and in GPT-2 small and SmolLM2-135M if they
are on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.checkpoints.lab_models import GPT2_SMALL, SMOLLM2
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.weights_checksum import bundled_checksum
from mechscope.labs.ioi.anatomy import Anatomy, NoCircuitError
from mechscope.labs.ioi.claims import ACDC, CLAIMS, EDGES, GPT2, RETRAINED
from mechscope.labs.ioi.claims_smollm2 import SMOLLM2 as SMOLLM2_CLAIMS
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.figures import draw_figures
from mechscope.labs.ioi.gpt2 import gpt2_measures
from mechscope.labs.ioi.heads import node_of
from mechscope.labs.ioi.measures import Measured, held_out_accuracy, measure_twin, planted_measures
from mechscope.labs.ioi.other_circuits import other_circuit_measures
from mechscope.labs.ioi.planted_circuit import recover
from mechscope.labs.ioi.smollm2 import Study, study_smollm2, why_not_studied
from mechscope.labs.ioi.smollm2_figures import classes_beside_gpt2, draw_smollm2
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_twin
from mechscope.labs.lab import Lab, Outcome
from mechscope.results import Provenance
from mechscope.runs.workspace import Workspace
from mechscope.tasks.indirect_object import ioi
from mechscope.techniques.redteam import Evidence, Heads, redteam

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TWIN = "ioi-twin"
NO_ACDC = "ACDC over GPT-2 small's 32,491 edges needs GPT-2 small and a GPU; one of them is missing here"
NO_EDGES = "ACDC on both circuits needs GPT-2 small, attn-only-4l and a GPU; one of them is missing here"
NO_TRAINING = "only the full budget trains new twins"
RETRAIN_FROM = 10
"""First seed of the new twins. Lower ones made the bundled twin and those that the settings were chosen on."""


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings. Shares are of the whole model's logit difference."""

    circuit_heads: int
    """Heads in the circuit."""
    all_heads: int
    """Heads in the model."""
    roles: str
    """The circuit's heads by class."""
    best_baseline: str
    """Name of the baseline or rule that is right most often."""
    random_median: float | None
    """Median share that random sets of as many heads reach; None without such sets."""
    matched_median: float | None
    """The same for sets with the same number of heads in each layer."""
    movers_lost: float | None
    """Share that is lost without the name movers; None if there are none."""
    checks_made: int
    """The red team's checks that could be run."""
    supporting: int
    """How many of them support the circuit."""
    undermining: int
    """How many undermine it."""
    inconclusive: int
    """How many are inconclusive."""
    cheapest_check: str
    """The cheapest check that could still falsify the circuit."""
    smollm2_missing: str
    """Why SmolLM2-135M was not studied; empty if it was."""
    smollm2_classes: str
    """A table of its heads by class beside GPT-2 small's; empty if it was not studied."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Analyse the twin with the prompts of every seed, and draw the figures of the first."""
    config: IOIConfig = workspace.config
    published = _gpt2_measures(workspace)
    twin = load_model(TWIN).to(workspace.device)
    planted = [recover(seed, config.prompts, config.threshold) for seed in range(config.planted_seeds)]
    others = other_circuit_measures(workspace, config.gpt2_prompts)
    shared = planted_measures(planted) | published | others | _retrained(workspace)
    measured: dict[int, Measured] = {}
    with workspace.bar(len(workspace.seeds), "taking the twin apart") as bar:
        for seed in workspace.seeds:
            measured[seed] = measure_twin(twin, config, seed)
            bar.update()
    measures = {
        seed: {f"twin_{name}": value for name, value in one.measures.items()} | shared
        for seed, one in measured.items()
    }
    smollm2_missing = why_not_studied(SMOLLM2, config.smollm2)
    study = None if smollm2_missing else study_smollm2(workspace, SMOLLM2)
    if study is not None:
        measures = {seed: {**found, **study.measures[seed]} for seed, found in measures.items()}
    not_run = {} if others else {EDGES: NO_EDGES}
    not_run |= {SMOLLM2_CLAIMS: smollm2_missing} if smollm2_missing else {}
    not_run |= {} if published else {GPT2: GPT2_SMALL.missing}
    not_run |= {} if "gpt2_acdc_edge_auc" in published else {ACDC: NO_ACDC}
    not_run |= {} if "retrained_share" in shared else {RETRAINED: NO_TRAINING}
    first = workspace.seeds[0]
    anatomy, baselines = measured[first].anatomy, measured[first].baselines
    if anatomy is None:
        raise NoCircuitError(f"there is no circuit to report: {measured[first].reason}")
    evidence = attack(twin, anatomy, config, first)
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(anatomy, baselines, measures[first], evidence, first),
            *(draw_smollm2(study, Provenance(SMOLLM2.name, "IOI", first)) if study else ()),
        ),
        not_run=not_run,
        facts=_facts(anatomy, baselines, evidence, smollm2_missing or "", study),
        weights=dict(twin.state_dict()),
    )


def attack(model: HookedTransformer, anatomy: Anatomy, config: IOIConfig, seed: int) -> Evidence:
    """Test the hypothesis that the circuit's heads carry the behaviour."""
    nodes = [node_of(head) for head in anatomy.roles.positions]
    hypothesis = Heads(nodes, claim="the heads of the circuit carry the behaviour")
    task = ioi(model, config.prompts, seed + 2000)
    return redteam(model, task, hypothesis, n_null=config.redteam_draws, seed=seed, progress=False)


def _gpt2_measures(workspace: Workspace) -> dict[str, float]:
    if not GPT2_SMALL.is_available:
        return {}
    acdc = workspace.device.type == "cuda"

    def compute() -> dict[str, Tensor]:
        model = GPT2_SMALL.load(workspace.device)
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
    learned = [
        held_out_accuracy(train_twin(workspace, TwinConfig(), seed), stories, config.judged_prompts, seed)
        >= 95
        for seed in seeds
    ]
    return {"retrained_share": 100 * sum(learned) / len(learned)}


def _facts(
    anatomy: Anatomy,
    baselines: Mapping[str, float],
    evidence: Evidence,
    smollm2_missing: str,
    study: Study | None,
) -> Facts:
    nulls = anatomy.judgement.nulls
    return Facts(
        circuit_heads=len(anatomy.roles.positions),
        all_heads=anatomy.direct.values.size,
        roles=anatomy.roles.in_words(),
        best_baseline=max(baselines, key=lambda name: baselines[name]),
        random_median=_median(nulls.random),
        matched_median=_median(nulls.matched),
        movers_lost=None if anatomy.backups is None else anatomy.backups.lost,
        checks_made=len(evidence.checks) - len(evidence.with_verdict("not run")),
        supporting=len(evidence.with_verdict("supports")),
        undermining=len(evidence.with_verdict("undermines")),
        inconclusive=len(evidence.with_verdict("inconclusive")),
        # Without the instructions for running it.
        cheapest_check=evidence.cheapest_falsifier.split(" Give ", maxsplit=1)[0],
        smollm2_missing=smollm2_missing,
        smollm2_classes="" if study is None else classes_beside_gpt2(study),
    )


def _median(draws: tuple[float, ...]) -> float | None:
    return sorted(draws)[len(draws) // 2] if draws else None


def describe_inputs() -> dict[str, str]:
    """The bundled twin, and GPT-2 small and SmolLM2-135M if they are on this machine."""
    return {
        "twin": f"ioi-twin, bundled (sha256 {bundled_checksum('ioi-twin')}…)",
        "GPT-2 small": GPT2_SMALL.describe("claims 4.1 to 4.13 are"),
        "SmolLM2-135M": SMOLLM2.describe("claims 4.s1 to 4.s9 are"),
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
        "full": IOIConfig(
            planted_seeds=6, null_draws=40, redteam_draws=59, gpt2_prompts=48, retrained=1, smollm2=True
        ),
    },
    seeds={"quick": 1, "full": 3},
    inputs=describe_inputs,
    experiment=run_experiment,
)
