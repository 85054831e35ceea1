"""Step 05: train dictionaries on known features and on a language model, and score what they find."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.labs.lab import Lab, Outcome
from mechscope.labs.sae.claims import CLAIMS, LARGE, MODEL, PARTNER, PEER, RARE
from mechscope.labs.sae.config import GridConfig, RealModelConfig, SaeConfig, TextConfig
from mechscope.labs.sae.exchange_check import compare_with_saelens, why_no_peer
from mechscope.labs.sae.features_against_neurons import compare_models, detect
from mechscope.labs.sae.figures import TEXT_FIGURES, draw_figures
from mechscope.labs.sae.ground_truth import run_grid, run_toy
from mechscope.labs.sae.language_model import (
    describe_text,
    load_language_model,
    partner_of,
    random_twin,
    read_texts,
    why_no_model,
)
from mechscope.labs.sae.measures import Findings, TextFindings, measure
from mechscope.labs.sae.probing import probe_comments
from mechscope.labs.sae.real_claims import REAL
from mechscope.labs.sae.real_figures import REAL_FIGURES, draw_real
from mechscope.labs.sae.real_model import RealStudy, study_real_model
from mechscope.labs.sae.splitting import split
from mechscope.labs.sae.steering import steer
from mechscope.labs.sae.text_study import study_text, train_chosen
from mechscope.runs.workspace import Workspace

NO_LARGE = "the grid at the published size takes minutes and is part of the full budget"
NO_RARE = "latents grow rare only in a training of several minutes, which is part of the full budget"
NOT_UNIVERSAL_YET = (
    "features become universal late in training, so the bound is checked on the fully trained dictionaries of the full "
    "budget"
)
NO_REAL = "training a dictionary on SmolLM2-135M takes minutes and is part of the full budget"
NO_TIME = "loading SAELens takes longer than everything else, so this is part of the full budget"


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings."""

    best_size: int
    """Latents of the dictionary that recovers the known features best."""
    best_l1: float
    """Its L1 penalty."""
    neurons: int | None
    """Width of the language model's MLP; None without a language model."""
    partner: str | None
    """Name of the model that features are compared with; None if there is none."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Run every seed, and draw the figures of the first."""
    config: SaeConfig = workspace.config
    missing = why_no_model(config.text)
    found = {seed: _study(workspace, config, seed, missing is None) for seed in workspace.seeds}
    real = _study_real(workspace, config)
    measures = {
        seed: measure(each) | (real[seed].named_measures() if seed in real else {})
        for seed, each in found.items()
    }
    first = workspace.seeds[0]
    return Outcome(
        measures=measures,
        figures=(
            *draw_figures(found[first], measures[first], first),
            *(draw_real(real[first], SMOLLM2.load(workspace.device).tokenizer, first) if real else ()),
        ),
        not_run=_not_run(config, missing),
        missing_figures=_missing_figures(config, missing),
        facts=_facts(found[first]),
        weights=_weights(found[first]),
    )


def _study_real(workspace: Workspace, config: SaeConfig) -> dict[int, RealStudy]:
    """Seed → a dictionary on SmolLM2-135M; empty if it is not studied."""
    if config.real is None or not SMOLLM2.is_available:
        return {}
    return {seed: study_real_model(workspace, config.real, seed) for seed in workspace.seeds}


def _why_no_real(config: SaeConfig) -> str:
    """Why SmolLM2-135M is not studied; empty if it is."""
    return SMOLLM2.missing if config.real else NO_REAL


def _facts(found: Findings) -> Facts:
    best, text = found.small.best, found.text
    return Facts(
        best_size=best.size,
        best_l1=best.l1,
        neurons=None if text is None else text.study.model.cfg.d_mlp,
        partner=None if text is None or text.universality is None else text.universality.partner,
    )


def _study(workspace: Workspace, config: SaeConfig, seed: int, with_text: bool) -> Findings:
    small = run_grid(workspace, config.small, seed, "small")
    toy = run_toy(workspace, config.toy, seed)
    text = _study_text(workspace, config.text, seed) if with_text else None
    exchange: Mapping[str, float] = {}
    if text is not None and config.exchange and why_no_peer() is None:
        exchange = compare_with_saelens(text.study.chosen, text.study.test.flatten(0, 1)[:512])
    large = run_grid(workspace, config.large, seed, "large") if config.large else None
    return Findings(small, large, toy, text, exchange)


def _study_text(workspace: Workspace, config: TextConfig, seed: int) -> TextFindings:
    model = load_language_model(config.model, workspace.device)
    texts = read_texts(model, config, seed)
    study = study_text(workspace, model, texts, config, seed)
    twin = random_twin(model, seed)
    on_twin = train_chosen(workspace, twin, texts, config, seed, "random-weights")
    smaller = dataclasses.replace(config, size=config.small_size, chosen=config.small_k)
    small = train_chosen(workspace, model, texts, smaller, seed, "small-dictionary")
    universality = None
    if partner := partner_of(config):
        other = load_language_model(partner, workspace.device)
        partner_texts = read_texts(other, config, seed)
        on_other = train_chosen(workspace, other, partner_texts, config, seed, partner)
        universality = compare_models(study, partner, other, partner_texts, on_other)
    return TextFindings(
        study,
        detect(study, twin, on_twin, seed),
        steer(study, config.steered, config.doses, seed),
        probe_comments(study, seed),
        split(small.W_dec, study.chosen.W_dec, seed),
        universality,
    )


def _not_run(config: SaeConfig, missing: str | None) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if config.large is None:
        reasons[LARGE] = NO_LARGE
    if reason := _why_no_real(config):
        reasons[REAL] = reason
    if missing is not None:
        reasons |= dict.fromkeys((MODEL, PARTNER, PEER, RARE), missing)
        return reasons
    if not config.text.rare_steps:
        reasons[RARE] = NO_RARE
    if partner_of(config.text) is None:
        reasons[PARTNER] = _no_partner(config.text)
    if not config.text.judges_universality:
        reasons["5.7b"] = NOT_UNIVERSAL_YET
    if not config.exchange:
        reasons[PEER] = NO_TIME
    elif reason := why_no_peer():
        reasons[PEER] = reason
    return reasons


def _missing_figures(config: SaeConfig, missing: str | None) -> dict[str, str]:
    absent = {} if config.large else {"grid-large": NO_LARGE}
    if reason := _why_no_real(config):
        absent |= dict.fromkeys(REAL_FIGURES, reason)
    if missing is not None:
        return absent | dict.fromkeys(TEXT_FIGURES, missing)
    if partner_of(config.text) is None:
        absent["universality"] = _no_partner(config.text)
    return absent


def _no_partner(config: TextConfig) -> str:
    return f"none of {', '.join(config.partners)} comes with this installation"


def _weights(found: Findings) -> dict[str, Tensor]:
    kept = {f"known-features.{name}": value for name, value in found.small.best.dictionary.state().items()}
    kept["known-features.truth"] = found.small.truth
    kept["toy-model.W"] = found.toy.W
    if found.text is not None:
        state = found.text.study.chosen.state()
        kept |= {f"language-model.{name}": value for name, value in state.items()}
    return {name: torch.as_tensor(value) for name, value in kept.items()}


def describe_inputs() -> dict[str, str]:
    """Known features are generated; the language model comes with the package."""
    return {
        "known features": "made up, from the seed",
        "language model and text": describe_text(TextConfig()),
        "SmolLM2-135M": SMOLLM2.describe("claims 5.s1 and 5.s2 are"),
        "SAELens": why_no_peer() or "installed (used by the full budget)",
    }


_QUICK_TEXT = TextConfig(
    train_rows=1000,
    ks=(8, 16, 64),
    l1=(1.0, 2.0, 4.0),
    steps=250,
    judges_universality=False,
    dead_after=20_000,
    revival_steps=240,
    detected=60,
)

LAB = Lab(
    step="05",
    slug="sae",
    title="Sparse autoencoders",
    idea="Features can be found without knowing them, and what was found can be checked.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={
        "quick": SaeConfig(text=_QUICK_TEXT),
        "full": SaeConfig(
            large=GridConfig(), text=TextConfig(rare_steps=4000), real=RealModelConfig(), exchange=True
        ),
    },
    seeds={"quick": 1, "full": 2},
    inputs=describe_inputs,
    experiment=run_experiment,
)
