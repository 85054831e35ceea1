"""Step 05 end to end at a tiny size, and its claims against sabotage."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.data.byte_pairs import train_byte_pairs
from mechscope.data.python_code import read_standard_library
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate
from mechscope.labs import Lab, check_claims, run_lab
from mechscope.labs.sae import LAB, GridConfig, SaeConfig, TextConfig, ToyConfig
from mechscope.labs.sae import experiment as experiment_module
from mechscope.labs.sae import ground_truth as ground_truth_module
from mechscope.labs.sae import real_model as real_model_module
from mechscope.labs.sae.claims import CLAIMS
from mechscope.labs.sae.config import RealModelConfig
from mechscope.labs.sae.features_against_neurons import detect
from mechscope.labs.sae.ground_truth import Grid, run_grid, run_toy
from mechscope.labs.sae.language_model import HOOK, Texts, activations, random_twin, read_texts
from mechscope.labs.sae.measures import Findings, TextFindings, measure
from mechscope.labs.sae.probing import probe_comments
from mechscope.labs.sae.splitting import split
from mechscope.labs.sae.steering import steer
from mechscope.labs.sae.text_study import study_text, train_chosen
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace
from tests.labs.lab_models import absent, stand_in
from tests.labs.lesson_names import names_read, optional_names

GRID = GridConfig(
    d_in=24, features=32, active=1.5, decay=0.97, l1=(1.0, 2.0), sizes=(32, 48), steps=400, batch=256
)
TOY = ToyConfig(features=20, hidden=8, density=0.02, model_steps=1200, size=40, l1=5.0, steps=800, batch=512)
TEXT = TextConfig(
    train_rows=200,
    test_rows=60,
    size=64,
    ks=(4, 16),
    chosen=16,
    l1=(0.3, 1.0),
    steps=120,
    batch=256,
    dead_after=4000,
    revival_size=96,
    revival_k=2,
    revival_steps=40,
    rare_size=96,
    rare_steps=60,
    detected=10,
    pages=2,
    steered=5,
)
REAL = RealModelConfig(
    layer=0, width=16, train_rows=64, test_rows=120, spliced_rows=8, size=48, k=4, batch=32, buffer_rows=16,
    detected=8, pages=2,
)  # fmt: skip
TINY = SaeConfig(small=GRID, toy=TOY, text=TEXT)


def workspace(folder: Path, config: SaeConfig = TINY) -> Workspace:
    return Workspace(config, (0,), torch.device("cpu"), folder / "parts")


def verdict(claim: str, numbers: dict[str, float]) -> str:
    chosen = [each for each in CLAIMS if each.id == claim]
    return check_claims(chosen, {0: numbers})[0].status


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    """A transformer that has seen a little code: enough for its neurons to matter."""
    library = read_standard_library()
    text = "\n".join(library[name][:20_000] for name in ("argparse.py", "ast.py", "tarfile.py"))
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=24, n_ctx=32, d_head=8, n_heads=3, d_mlp=32, act_fn="gelu", d_vocab=280, seed=0,
        model_name="tiny",
    )  # fmt: skip
    tokenizer = train_byte_pairs([text], 280)
    made = HookedTransformer(cfg, tokenizer=tokenizer)
    tokens = made.to_tokens(text, prepend_bos=False, truncate=False)[0]
    rows = tokens[: len(tokens) // 32 * 32].view(-1, 32)
    optimizer = torch.optim.Adam(made.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        loss = made(rows[torch.randint(len(rows), (32,), generator=generator)], return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def texts(model: HookedTransformer) -> Texts:
    return read_texts(model, TEXT, 0)


@pytest.fixture(scope="module")
def findings(
    model: HookedTransformer, texts: Texts, tmp_path_factory: pytest.TempPathFactory
) -> TextFindings:
    bench = workspace(tmp_path_factory.mktemp("text"))
    study = study_text(bench, model, texts, TEXT, 0)
    twin = random_twin(model, 0)
    on_twin = train_chosen(bench, twin, texts, TEXT, 0, "random-weights")
    return TextFindings(
        study,
        detect(study, twin, on_twin, 0),
        steer(study, TEXT.steered, TEXT.doses, 0),
        probe_comments(study, 0),
        split(study.chosen.W_dec[: TEXT.size // 4], study.chosen.W_dec, 0),
        None,
    )


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    return run_grid(workspace(tmp_path_factory.mktemp("grid")), GRID, 0, "small")


def with_text(grid: Grid, findings: TextFindings, folder: Path) -> dict[str, float]:
    toy = run_toy(workspace(folder), dataclasses.replace(TOY, model_steps=20, steps=8), 0)
    return measure(Findings(grid, None, toy, findings))


# The whole lab ----------------------------------------------------------------------------------------


def with_model(monkeypatch: pytest.MonkeyPatch, model: HookedTransformer) -> Lab:
    """The lab at a tiny size, on the tiny model; its “partner” has the same shape and random weights."""
    models = {TEXT.model: model, "partner": random_twin(model, 1)}
    monkeypatch.setattr(experiment_module, "why_no_model", lambda config: None)
    monkeypatch.setattr(experiment_module, "partner_of", lambda config: "partner")
    monkeypatch.setattr(experiment_module, "load_language_model", lambda name, device: models[name])
    return dataclasses.replace(
        LAB,
        configs={"quick": TINY, "full": TINY},
        seeds={"quick": 1, "full": 1},
        inputs=lambda: {"text": "tiny"},
    )


@pytest.mark.slow
def test_it_runs_end_to_end_and_resumes(
    monkeypatch: pytest.MonkeyPatch, model: HookedTransformer, tmp_path: Path
) -> None:
    real = stand_in(SMOLLM2, lambda: model)
    for module in (experiment_module, real_model_module):
        monkeypatch.setattr(module, "SMOLLM2", real)
    lab = with_model(monkeypatch, model)
    lab = dataclasses.replace(lab, configs={"quick": dataclasses.replace(TINY, real=REAL)})
    run = run_lab(lab, "quick", out=tmp_path)
    assert len(run.claims) == len(CLAIMS)
    skipped = {each.claim.id for each in run.claims if each.status == "not-run"}
    assert skipped == {"5.1b", "5.10"}
    page = run.report.read_text(encoding="utf-8")
    assert "Against ourselves" in page
    assert "no language model in this run" not in page
    # Only what this configuration leaves out may be missing, and the lesson asks whether it is there.
    text = LAB.lesson.read_text(encoding="utf-8")
    missing = names_read(text) - {*run.outcome.lesson_values(0), "config"}
    assert missing == {"large_mmcs", "exchange_peer"} <= optional_names(text)
    assert {"universality", "smollm2-splice", "smollm2-pages"} <= {each.name for each in run.outcome.figures}
    again = run_lab(lab, "quick", out=tmp_path)
    assert again.reused_seconds > 0
    assert again.outcome.measures == run.outcome.measures
    recorded = json.loads((run.folder / "claims.json").read_text(encoding="utf-8"))
    assert len(recorded["claims"]) == len(CLAIMS)


def test_without_the_models_their_claims_are_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experiment_module, "SMOLLM2", absent(SMOLLM2))
    monkeypatch.setattr(experiment_module, "why_no_model", lambda config: "it is not there")
    quick = dataclasses.replace(TINY, toy=dataclasses.replace(TOY, model_steps=20, steps=8))
    quick = dataclasses.replace(quick, real=REAL, small=dataclasses.replace(GRID, steps=8))
    lab = dataclasses.replace(LAB, configs={"quick": quick, "full": quick}, inputs=lambda: {"text": "none"})
    run = run_lab(lab, "quick", out=tmp_path)
    reasons = {each.claim.id: each.reason for each in run.claims if each.status == "not-run"}
    assert set(reasons) == {each.id for each in CLAIMS} - {"5.1a", "5.2"}
    assert reasons["5.6"] == "it is not there"
    assert reasons["5.s1"] == reasons["5.s2"] == absent(SMOLLM2).missing
    page = run.report.read_text(encoding="utf-8")
    assert "it is not there" in page
    assert page.count("No figure here this time: SmolLM2-135M is not on this machine") == 3
    assert "There was no language model in this run" in page
    assert "nats" not in page[page.index("no language model in this run") : page.index("Against ourselves")]


# Sabotage -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_known_features_are_found_and_shuffled_ones_are_not(
    grid: Grid, findings: TextFindings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = with_text(grid, findings, tmp_path)
    assert verdict("5.1a", honest) == "pass"
    right = ground_truth_module.shuffle_dimensions
    # Every cell is trained on permuted dimensions, and the twin on honest ones.
    real = ground_truth_module.known_features

    def sabotaged(config: GridConfig, seed: int):
        features = real(config, seed)
        sample = features.sample

        def draw(n: int, generator: torch.Generator):
            x, coefficients = sample(n, generator)
            return right(x, generator), coefficients

        object.__setattr__(features, "sample", draw)
        return features

    monkeypatch.setattr(ground_truth_module, "known_features", sabotaged)
    spoilt = run_grid(workspace(tmp_path), GRID, 0, "spoilt")
    numbers = with_text(spoilt, findings, tmp_path)
    assert verdict("5.1a", numbers) == "fail"
    assert numbers["small_mmcs"] < honest["small_mmcs"] - 0.2


@pytest.mark.slow
def test_an_untrained_grid_fails(tmp_path: Path, findings: TextFindings) -> None:
    untrained = dataclasses.replace(GRID, learning_rate=1e-9, steps=8)
    numbers = with_text(run_grid(workspace(tmp_path), untrained, 0, "untrained"), findings, tmp_path)
    assert verdict("5.1a", numbers) == "fail"


def test_step_01s_features_are_recovered_by_training_only(tmp_path: Path) -> None:
    study = run_toy(workspace(tmp_path / "trained"), TOY, 0)
    honest = {"toy_more": len(study.represented) / TOY.hidden, "toy_mmcs": study.mmcs}
    assert verdict("5.2", honest) == "pass"
    untrained = dataclasses.replace(TOY, learning_rate=1e-9, steps=8)
    study = run_toy(workspace(tmp_path / "untrained"), untrained, 0)
    assert verdict("5.2", honest | {"toy_mmcs": study.mmcs}) == "fail"
    assert study.mmcs == pytest.approx(study.untrained, abs=1e-3)


def spoil(dictionary: Dictionary, seed: int) -> Dictionary:
    """The same features, each writing what another one should."""
    order = torch.randperm(dictionary.cfg.d_sae, generator=torch.Generator().manual_seed(seed))
    state = dictionary.state()
    state["W_dec"] = state["W_dec"][order].contiguous()
    dictionary = type(dictionary)(dictionary.cfg)
    dictionary.take_state(state)
    return dictionary.eval()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_shuffled_decoder_costs_what_a_right_one_saves(
    model: HookedTransformer, texts: Texts, findings: TextFindings, seed: int
) -> None:
    study = findings.study

    def numbers(dictionary: Dictionary) -> dict[str, float]:
        found = evaluate(dictionary, texts.test, model=model, hook_name=HOOK, skip_first=1)
        assert found.splice is not None
        return {
            "recovered_zero": 100 * found.splice.recovered_zero,
            "recovered_mean": 100 * found.splice.recovered_mean,
            "l0": found.l0,
            "delta_ce": found.splice.delta_ce,
            "mean_ce": found.splice.ce_mean - found.splice.ce,
        }

    assert verdict("5.6", numbers(study.chosen)) == "pass"
    assert verdict("5.6", numbers(spoil(study.chosen, seed))) == "fail"


def test_steering_backwards_fails(grid: Grid, findings: TextFindings, tmp_path: Path) -> None:
    honest = with_text(grid, findings, tmp_path)
    assert verdict("5.8", honest) == "pass"
    steering = findings.steering
    # The row of another feature in the place of its own.
    other = dataclasses.replace(findings, steering=dataclasses.replace(steering, own=steering.others))
    assert verdict("5.8", with_text(grid, other, tmp_path)) == "fail"
    back = dataclasses.replace(findings, steering=dataclasses.replace(steering, own=-steering.own))
    assert verdict("5.8", with_text(grid, back, tmp_path)) == "fail"


def test_every_condition_can_fail(grid: Grid, findings: TextFindings, tmp_path: Path) -> None:
    numbers = with_text(grid, findings, tmp_path)
    nothing = dict.fromkeys(numbers, float("nan"))
    for claim in CLAIMS:
        needed = {condition.measure for condition in claim.conditions}
        if needed <= set(nothing):
            assert verdict(claim.id, nothing) == "fail", claim.id


def test_units_are_those_of_the_neurons(
    model: HookedTransformer, texts: Texts, findings: TextFindings
) -> None:
    tokens = texts.test[:2]
    _, cache = model.run_with_cache(tokens)
    assert torch.allclose(activations(model, tokens), cache[HOOK][:, 1:], atol=1e-5)
    assert torch.allclose(findings.study.test[:2], cache[HOOK][:, 1:], atol=1e-5)
