"""Step 03 as a whole: it can be stopped and gone on with, and its claims notice sabotage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from mechscope.checkpoints import load_model
from mechscope.checkpoints.lab_models import GPT2_SMALL, SMOLLM2, LabModel
from mechscope.labs import Lab, check_claims, run_lab
from mechscope.labs.induction import LAB, InductionConfig
from mechscope.labs.induction import experiment as experiment_module
from mechscope.labs.induction import smollm2 as smollm2_module
from mechscope.labs.induction import training as training_module
from mechscope.labs.induction.attack import attack
from mechscope.labs.induction.baselines import RULE, BaselineScores, score_baselines
from mechscope.labs.induction.claims import CLAIMS
from mechscope.labs.induction.experiment import Facts
from mechscope.labs.induction.hand_wired import hand_wired_induction
from mechscope.labs.induction.measures import analyse, measure, measure_smeared, measure_turning
from mechscope.labs.induction.training import (
    History,
    SmearedModel,
    TrainedModel,
    held_out_batches,
    train_model,
    train_smeared,
)
from mechscope.model.transformer import HookedTransformer
from mechscope.pages.text_template import fill_text
from mechscope.runs import Workspace
from tests.labs.lab_models import absent, stand_in
from tests.labs.lesson_names import names_read

SMALL = InductionConfig(
    n_tokens=16,
    n_ctx=17,
    shortest=4,
    longest=6,
    d_model=16,
    d_head=8,
    n_heads=2,
    batch=8,
    steps=24,
    evaluate_every=8,
    test_sequences=12,
)
BUNDLED = "induction-2l"


def workspace(folder: Path, **options) -> Workspace:
    return Workspace(SMALL, (0,), torch.device("cpu"), folder, **options)


def weights(trained: TrainedModel) -> dict[str, torch.Tensor]:
    return trained.model.state_dict()


def killed_at_thirteen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Interrupt training at step 13, once; the list gets every step whose batch was asked for."""
    real, steps = training_module.training_batch, []

    def batch(config: InductionConfig, seed: int, step: int) -> torch.Tensor:
        steps.append(step)
        if step == 13 and steps.count(13) == 1:
            raise KeyboardInterrupt
        return real(config, seed, step)

    monkeypatch.setattr(training_module, "training_batch", batch)
    return steps


# Training -------------------------------------------------------------------------------------------


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_model(workspace(tmp_path / "whole"), 2, seed=0)
    steps = killed_at_thirteen(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_model(workspace(tmp_path / "stopped", save_every=0), 2, seed=0)
    resumed = train_model(workspace(tmp_path / "stopped", save_every=0), 2, seed=0)
    assert steps == [*range(14), *range(13, 24)]
    for name, tensor in weights(whole).items():
        assert tensor.equal(weights(resumed)[name]), name
    for name, curve in vars(whole.history).items():
        assert curve.equal(getattr(resumed.history, name)), name
    assert not list((tmp_path / "stopped").glob("*unfinished*"))


def test_a_stopped_training_with_smeared_keys_goes_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_smeared(workspace(tmp_path / "whole"), seed=0)
    assert not whole.own_share.equal(torch.full((2,), 0.5))  # it was learned
    killed_at_thirteen(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_smeared(workspace(tmp_path / "stopped", save_every=0), seed=0)
    resumed = train_smeared(workspace(tmp_path / "stopped", save_every=0), seed=0)
    assert resumed.own_share.equal(whole.own_share)
    assert resumed.history.prefix.equal(whole.history.prefix)


@pytest.mark.parametrize(
    ("prefix", "ordinary", "gain", "status"),
    [
        (0.58, 0.06, 2.0, "pass"),
        (0.3, 0.06, 2.0, "fail"),
        (0.58, 0.4, 2.0, "fail"),
        (0.58, 0.06, 0.7, "fail"),
    ],
)
def test_smeared_keys_must_make_the_difference(
    prefix: float, ordinary: float, gain: float, status: str
) -> None:
    (claim,) = [claim for claim in CLAIMS if claim.id == "3.12"]
    smeared = SmearedModel(history(prefix, gain, 1.0), torch.full((4,), 0.4))
    found = {**measure_smeared(smeared), "prefix_1l": ordinary, "gain_1l": 0.6}
    assert check_claims([claim], {0: found})[0].status == status


def learned(first: torch.Tensor, second: torch.Tensor) -> History:
    """A history in which the loss of each token falls by `first` early on, and by `second` at step 500."""
    step = torch.arange(0, 1001, 20)
    early, late = (step / 400).clamp(max=1), torch.sigmoid((step - 500) / 15)
    losses = 5 - early[:, None] * first - late[:, None] * second
    return dataclasses.replace(history(0.9, 2.0, 1.0), token_losses=losses)


@pytest.mark.parametrize("seed", range(3))
def test_only_a_turn_of_two_layers_that_one_layer_lacks_passes(seed: int) -> None:
    first, second = torch.rand(2, 60, generator=torch.Generator().manual_seed(seed))
    first[30:], second[:30] = 0, 0  # other tokens: a right angle
    turns, straight = learned(first, second), learned(first, first)
    (claim,) = [claim for claim in CLAIMS if claim.id == "3.13"]

    def status(two: History, one: History) -> str:
        return check_claims([claim], {0: measure_turning(two, one)})[0].status

    assert status(turns, straight) == "pass"
    assert status(turns, turns) == "fail"
    assert status(straight, turns) == "fail"
    # The same turn at another time than the change is none.
    late = dataclasses.replace(turns, prefix=turns.prefix.roll(-20, 0))
    assert measure_turning(late, straight)["turn_2l"] < 45


def test_both_models_see_the_same_data_and_seeds_differ(tmp_path: Path) -> None:
    shop = workspace(tmp_path)
    two, one, other = train_model(shop, 2, 0), train_model(shop, 1, 0), train_model(shop, 2, 1)
    assert two.blocks.equal(one.blocks)
    assert two.like_training.equal(one.like_training)
    assert not two.blocks.equal(other.blocks)
    assert (two.model.cfg.n_layers, one.model.cfg.n_layers) == (2, 1)
    same = [
        dataclasses.replace(two.model.cfg, n_layers=1, model_name="")
        == dataclasses.replace(one.model.cfg, model_name="")
    ]
    assert all(same)
    assert two.history.step.tolist() == [0, 8, 16, 24]
    assert two.history.prefix.shape == (4, 2, 2)


def test_training_learns_something(tmp_path: Path) -> None:
    # Few tokens and a short context: here even one layer can learn which tokens are left to repeat.
    config = dataclasses.replace(SMALL, steps=150, batch=32, learning_rate=1e-2)
    shop = Workspace(config, (0,), torch.device("cpu"), tmp_path)
    history = train_model(shop, 1, 0).history
    assert float(history.loss[-1]) < float(history.loss[0]) - 0.05


# The whole step -------------------------------------------------------------------------------------


def replace_smollm2(monkeypatch: pytest.MonkeyPatch, model: LabModel) -> None:
    for module in (experiment_module, smollm2_module):
        monkeypatch.setattr(module, "SMOLLM2", model)


@pytest.fixture
def small_lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(experiment_module, "GPT2_SMALL", absent(GPT2_SMALL))
    replace_smollm2(monkeypatch, absent(SMOLLM2))
    monkeypatch.setattr(experiment_module, "study_text_models", lambda workspace: None)
    monkeypatch.setattr(experiment_module, "why_no_text_models", lambda: "no such models here")
    full = dataclasses.replace(SMALL, smeared=True, turning=True)
    return dataclasses.replace(LAB, configs={"quick": SMALL, "full": full}, seeds={"quick": 1, "full": 2})


@pytest.mark.slow
def test_models_that_learned_nothing_do_not_pass(small_lab: Lab, tmp_path: Path) -> None:
    run = run_lab(small_lab, "full", out=tmp_path, device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert status["3.1"] == status["3.8"] == "pass"
    assert status["3.2"] == status["3.4a"] == status["3.6"] == "fail"
    assert status["3.7"] == status["3.10"] == status["3.11"] == status["3.4b"] == "not-run"
    assert status["3.9"] == status["3.12"] == status["3.13"] == "fail"
    assert {status[f"3.s{number}"] for number in (1, 2, 3, 4)} == {"not-run"}
    html = run.report.read_text(encoding="utf-8")
    assert "No figure here this time: GPT-2 small is not on this machine" in html
    assert html.count("No figure here this time: SmolLM2-135M is not on this machine") == 2
    assert html.count("<figure ") == len(run.outcome.figures) == 15
    assert "[[number" not in html
    assert "[[figure" not in html
    assert json.loads((run.folder / "claims.json").read_text())["claims"][1]["seeds"] == [0, 1]
    text = LAB.lesson.read_text(encoding="utf-8")
    missing = names_read(text) - {*run.outcome.lesson_values(0), "config"}
    assert {name for name in missing if not name.startswith(("text_", "smollm2_"))} == {"gpt2_heads_found"}
    assert html.count("not on this machine, so this part was not run") == 2
    assert "This budget does not" not in html


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"saturated": 1.0},
            "Here p is 0.032, and that says nothing: all heads of each layer, or all but one,",
        ),
        (
            {"composition_evidence": 1.5},
            "3.2 % of all relabellings do as well (p = 0.032). So it does matter",
        ),
        (
            {"composition_evidence": 0.5},
            "(p = 0.032). So this does not show that it matters which heads they are.",
        ),
        ({"composition_evidence": float("nan")}, "So this does not show that it matters"),
        ({"pair_against": ()}, "2 support the pair. On their own, the two do 50 % of the job"),
        (
            {"pair_against": ("enough", "swaps")},
            "2 support the pair. Against it: “enough”, “swaps”. On their own,",
        ),
        ({"rule_swaps": float("nan")}, "the model follows in only not a number of the cases"),
    ],
)
def test_the_lesson_says_what_was_found(values: dict[str, object], sentence: str) -> None:
    text = LAB.lesson.read_text(encoding="utf-8")
    facts = Facts(
        induction_heads=("1.0", "1.2"),
        previous_heads=("0.3",),
        best_baseline="copying",
        pair_checks=3,
        pair_supporting=2,
        pair_against=(),
        pair_enough=0.5,
        pair_needed=0.9,
        rule_checks=4,
        rule_supporting=4,
        rule_against=(),
        rule_agrees=1.0,
        rule_swaps=0.25,
        hand_wired_swaps=0.5,
    )
    measures = dict.fromkeys(names_read(text), 1.0) | {"saturated": 0.0, "relabelling_p": 0.032}
    found = fill_text(text, measures | {"config": SMALL} | vars(facts) | values)
    assert sentence in " ".join(found.replace("\u00a0", " ").split())


def test_every_figure_has_words_and_numbers(small_lab: Lab, tmp_path: Path) -> None:
    run = run_lab(small_lab, out=tmp_path, device="cpu")
    for figure in run.outcome.figures:
        assert "ook" in figure.caption, f"{figure.name} does not say what to look for"
        assert figure.data
        assert (run.folder / "figures" / f"{figure.name}.json").is_file()


def test_gpt2_is_measured_where_it_is_there(
    small_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"n_layers": 12, "n_heads": 12, "d_model": 24, "d_head": 2, "n_ctx": 101, "d_vocab": 300}
    model = HookedTransformer({**shape, "attn_only": True, "seed": 0})
    monkeypatch.setattr(experiment_module, "GPT2_SMALL", stand_in(GPT2_SMALL, lambda: model))
    run = run_lab(small_lab, out=tmp_path, device="cpu")
    checked = next(checked for checked in run.claims if checked.claim.id == "3.7")
    assert checked.status == "fail"  # random weights have no such heads
    assert 0 <= checked.findings[0].ours[0] < 8
    assert run.outcome.figures[-1].name == "gpt2"
    assert "of the 9 heads known" in run.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_smollm2_is_measured_where_it_is_there(
    small_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"n_layers": 30, "n_heads": 9, "d_model": 18, "d_head": 2, "n_ctx": 101, "d_vocab": 300}
    model = HookedTransformer({**shape, "attn_only": True, "seed": 0})
    replace_smollm2(monkeypatch, stand_in(SMOLLM2, lambda: model))
    run = run_lab(small_lab, "full", out=tmp_path, device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    # Random weights have no such heads.
    assert {status[f"3.s{number}"] for number in (1, 2, 3, 4)} == {"fail"}
    html = run.report.read_text(encoding="utf-8")
    assert "Without the best one, the loss on the second copy is" in html
    assert [figure.name for figure in run.outcome.figures[-2:]] == ["smollm2-heads", "smollm2-ablation"]
    assert len({run.outcome.measures[seed]["smollm2_second_copy"] for seed in (0, 1)}) == 2
    # Without the model, finished numbers are not reused: its claims are not run.
    replace_smollm2(monkeypatch, absent(SMOLLM2))
    status = {checked.claim.id: checked.status for checked in run_lab(small_lab, "full", out=tmp_path).claims}
    assert status["3.s1"] == "not-run"


def test_which_gpt2_is_there_is_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert GPT2_SMALL.describe("claim 3.7 is") == "not on this machine (claim 3.7 is not run)"
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}", encoding="utf-8")
    said: set[str] = set()
    for weights in (b"one", b"another"):
        (tmp_path / "gpt2" / "model.safetensors").write_bytes(weights)
        said.add(GPT2_SMALL.describe("claim 3.7 is"))
        assert GPT2_SMALL.is_available
    assert len(said) == 2
    assert all(words.startswith("on this machine (weights ") for words in said)


# Sabotage: the claims must notice -------------------------------------------------------------------


def history(prefix: float, gain: float, repeated: float, abrupt: bool = True) -> History:
    step = torch.arange(0, 1001, 20)
    way = torch.sigmoid((step - 500) / 20) if abrupt else step / 1000
    scores = (prefix * way)[:, None, None].expand(-1, 2, 4)
    losses = 5 - way
    return History(
        step, losses, -gain * way, 5 - (5 - repeated) * way, scores, scores, losses[:, None].expand(-1, 3)
    )


def trained_from_bundle(change: Callable[[HookedTransformer], None] = lambda model: None) -> TrainedModel:
    model = load_model(BUNDLED, process=False)
    change(model)
    config = LAB.configs["quick"]
    blocks, like_training = held_out_batches(config, seed=0)
    return TrainedModel(model, history(0.8, 2.5, 0.5), blocks, like_training)


ELSEWHERE = dict.fromkeys(("gpt2-small", "smollm2", "text-models", "smeared", "turning"), "not here")


@cache
def rivals_of_seed_0() -> dict[str, BaselineScores]:
    return score_baselines(trained_from_bundle(), LAB.configs["quick"], seed=0)


def verdicts(
    two: TrainedModel, one: History | None = None, rivals: dict[str, BaselineScores] | None = None
) -> dict[str, str]:
    other = dataclasses.replace(two, history=one or history(0.05, 0.5, 4.0))
    plain = rivals or rivals_of_seed_0()
    measures = measure(two, other, analyse(two, seed=0), plain, seed=0)
    return {checked.claim.id: checked.status for checked in check_claims(CLAIMS, {0: measures}, ELSEWHERE)}


def test_the_bundled_model_passes() -> None:
    found = verdicts(trained_from_bundle())
    assert {claim: status for claim, status in found.items() if status != "pass"} == dict.fromkeys(
        ("3.7", "3.4b", "3.10", "3.11", "3.12", "3.13", "3.s1", "3.s2", "3.s3", "3.s4"), "not-run"
    )


def shuffle_weights(model: HookedTransformer) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        values = parameter.data.flatten()
        parameter.data = values[torch.randperm(len(values), generator=generator)].view_as(parameter)


def freeze_attention(model: HookedTransformer) -> None:
    for block in model.blocks:
        block.attn.W_Q.data.zero_()
        block.attn.b_Q.data.zero_()


def swap_layers(model: HookedTransformer) -> None:
    first, second = (block.attn.state_dict() for block in model.blocks)
    first = {name: tensor.clone() for name, tensor in first.items()}
    model.blocks[0].attn.load_state_dict(second)
    model.blocks[1].attn.load_state_dict(first)


def negate_copying(model: HookedTransformer) -> None:
    model.blocks[1].attn.W_O.data.neg_()


@pytest.mark.parametrize(
    ("sabotage", "must_fail"),
    [
        (shuffle_weights, {"3.2", "3.4a", "3.5", "3.6"}),
        (freeze_attention, {"3.2", "3.6"}),
        (swap_layers, {"3.2", "3.6"}),
        (negate_copying, {"3.5"}),
    ],
)
def test_sabotaged_weights_fail(sabotage: Callable[[HookedTransformer], None], must_fail: set[str]) -> None:
    found = verdicts(trained_from_bundle(sabotage))
    assert must_fail <= {claim for claim, status in found.items() if status == "fail"}


def test_shuffled_labels_fail(tmp_path: Path) -> None:
    """Sequences in which the copy is out of order: nothing is gained by looking back, and the claims say so."""
    trained = trained_from_bundle()
    order = (
        torch.rand(trained.like_training[:, 1:].shape, generator=torch.Generator().manual_seed(0)).argsort(-1)
        + 1
    )
    shuffled = torch.cat([trained.like_training[:, :1], trained.like_training.gather(1, order)], dim=1)
    blocks = torch.cat([trained.blocks[:, :1], trained.blocks[:, 1:].flip(0).roll(3, dims=1)], dim=1)
    blocks[:, 32:] = trained.blocks[:, 32:]
    found = verdicts(dataclasses.replace(trained, like_training=shuffled, blocks=blocks))
    assert {"3.2", "3.6"} <= {claim for claim, status in found.items() if status == "fail"}


def test_a_rival_that_does_it_too_fails_the_claim_that_none_does() -> None:
    trained = trained_from_bundle()
    rivals = rivals_of_seed_0()
    knowing = {**rivals, "copying": rivals[RULE]}
    assert verdicts(trained, rivals=rivals)["3.9"] == "pass"
    assert verdicts(trained, rivals=knowing)["3.9"] == "fail"


def test_a_slow_change_is_not_a_phase_change() -> None:
    trained = dataclasses.replace(trained_from_bundle(), history=history(0.8, 2.5, 0.5, abrupt=False))
    assert verdicts(trained)["3.3"] == "fail"


def test_changes_at_different_times_are_not_one() -> None:
    trained = trained_from_bundle()
    late = dataclasses.replace(trained.history, prefix=trained.history.prefix.roll(10, dims=0))
    late.prefix[:10] = 0
    assert verdicts(dataclasses.replace(trained, history=late))["3.3"] == "fail"


@pytest.mark.parametrize("one", [history(0.3, 0.5, 4.0), history(0.05, 2.0, 1.0)], ids=["prefix", "gain"])
def test_a_one_layer_model_that_can_do_it_too_fails_the_contrast(one: History) -> None:
    assert verdicts(trained_from_bundle(), one)["3.2"] == "fail"


@pytest.mark.slow
def test_the_red_team_tells_two_heads_from_a_crowd() -> None:
    """Two heads written by hand are the whole circuit and follow the rule; the trained model's best two are not."""
    config = dataclasses.replace(LAB.configs["quick"], n_tokens=44, n_ctx=41, shortest=8, longest=15)
    by_hand = TrainedModel(
        hand_wired_induction(44, 41), history(0.8, 2.5, 0.5), *held_out_batches(config, seed=0)
    )
    found = attack(by_hand, analyse(by_hand, 0), seed=0)
    assert not found["heads"].falsified
    assert found["heads"]["enough"].measured == pytest.approx(1, abs=0.01)
    assert found["rule"]["agrees with the model"].verdict == "supports"
    trained = trained_from_bundle()
    found = attack(trained, analyse(trained, 0), seed=0)
    assert found["heads"].falsified
    assert found["heads"]["enough"].verdict == "undermines"


@pytest.mark.slow
def test_the_quick_budget_passes(tmp_path: Path) -> None:
    run = run_lab(LAB, out=tmp_path, device="cpu")
    assert {checked.claim.id: checked.reason for checked in run.claims if checked.status == "fail"} == {}
