"""Step 04 as a whole: what the bundled twin shows, and that its claims notice sabotage."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mechscope import tasks
from mechscope.checkpoints import load_model
from mechscope.labs import Lab, Workshop, check_claims
from mechscope.labs.ioi import LAB, IOIConfig
from mechscope.labs.ioi import experiment as experiment_module
from mechscope.labs.ioi import measures as measures_module
from mechscope.labs.ioi import twin_training as training_module
from mechscope.labs.ioi.claims import CLAIMS, OFFLINE, RETRAINED
from mechscope.labs.ioi.measures import OF_CIRCUITS, measure_twin
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_twin
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.metrics import Answers

SMALL = IOIConfig(
    prompts=16,
    judged_prompts=48,
    null_draws=4,
    rival_stories=300,
    planted_seeds=1,
    redteam_draws=19,
    gpt2_prompts=4,
    gpt2_judged_prompts=8,
)
TINY = TwinConfig(n_layers=2, d_model=16, d_head=8, n_heads=2, steps=8, more_steps=4, batch=4, warm_up=2)


def twin() -> HookedTransformer:
    return load_model("ioi-twin")


def verdicts(model: HookedTransformer, seed: int = 0) -> dict[str, str]:
    found = measure_twin(model, SMALL, seed).measures
    measures = {f"twin_{name}": value for name, value in found.items()} | {"planted_exact": 100.0}
    checked = check_claims(OFFLINE, {seed: measures}, {RETRAINED: "not here"})
    return {one.claim.id: one.status for one in checked}


# The twin -------------------------------------------------------------------------------------------


def test_the_twin_comes_with_its_tokenizer_and_is_small() -> None:
    model = twin()
    task = tasks.ioi(model, n=64, seed=0)
    assert float(task.baselines(model).clean.mean()) > 1
    folder = Path(load_model.__code__.co_filename).parent / "bundled" / "ioi-twin"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2e6
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "name mover" in card
    assert "{" not in card


# Training -------------------------------------------------------------------------------------------


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shop(name: str) -> Workshop:
        return Workshop(TINY, (0,), torch.device("cpu"), tmp_path / name, "f", patience=0)

    whole = train_twin(shop("whole"), TINY, 0).state_dict()
    real, losses = training_module.story_loss, []

    def killed_at_five(*given):
        losses.append(given)
        if len(losses) == 6:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(training_module, "story_loss", killed_at_five)
    with pytest.raises(KeyboardInterrupt):
        train_twin(shop("stopped"), TINY, 0)
    resumed = train_twin(shop("stopped"), TINY, 0).state_dict()
    assert len(losses) == 6 + 3 + 4
    assert all(tensor.equal(resumed[name]) for name, tensor in whole.items())
    other = train_twin(shop("other"), TINY, 1).state_dict()
    assert not all(tensor.equal(other[name]) for name, tensor in whole.items())


def test_training_loss_by_hand() -> None:
    stories = Stories()
    batch = stories.batch(5, 0)
    model = HookedTransformer(TINY.model_config(len(stories.tokenizer), 0))
    total = 0.0
    words = []
    for row, length, answer in zip(batch.tokens, batch.lengths.tolist(), batch.answers.tolist(), strict=True):
        with torch.no_grad():
            logs = model(row[None, :length])[0].log_softmax(-1)
        surprise = [-float(logs[place, row[place + 1]]) for place in range(length - 1)]
        total += surprise[answer - 1] / 5
        words += surprise
    expected = total + 0.5 * sum(words) / len(words)
    assert float(training_module.story_loss(model, batch, 0.5).detach()) == pytest.approx(expected, rel=1e-4)


# The whole step -------------------------------------------------------------------------------------


@pytest.fixture
def small_lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(experiment_module, "gpt2_in_reach", lambda: False)
    return dataclasses.replace(LAB, configs={"quick": SMALL, "full": SMALL}, seeds={"quick": 1, "full": 1})


def test_the_report_tells_everything(small_lab: Lab, tmp_path: Path) -> None:
    run = small_lab.run(out=tmp_path, device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert {name for name in status if not name.startswith("4.t")} == {
        f"4.{number}" for number in (*range(1, 13), "13a", "13b", "13c")
    }
    assert all(value == "not-run" for name, value in status.items() if not name.startswith("4.t"))
    assert status["4.t12"] == "not-run"
    assert status["4.t2"] == status["4.t3"] == status["4.t8"] == status["4.t11"] == "pass"
    html = run.report.read_text(encoding="utf-8")
    assert html.count("<figure ") == len(run.outcome.figures) == 13
    assert "[[number" not in html
    assert "[[figure" not in html
    assert "GPT-2 small is not on this machine" in html
    for figure in run.outcome.figures:
        assert "ook" in figure.caption, f"{figure.name} does not say what to look for"
        assert figure.data
        assert (run.folder / "figures" / f"{figure.name}.json").is_file()
    claims = json.loads((run.folder / "claims.json").read_text())["claims"]
    assert len(claims) == len(CLAIMS)


@pytest.mark.slow
def test_gpt2_is_measured_where_it_is_there(
    small_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.labs.test_ioi_methods import in_gpt2_shape

    monkeypatch.setattr(experiment_module, "gpt2_in_reach", lambda: True)
    monkeypatch.setattr(experiment_module, "load_gpt2", lambda device: in_gpt2_shape())
    run = small_lab.run(out=tmp_path, device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert status["4.1"] == status["4.3"] == status["4.8"] == "fail"  # random weights
    assert status["4.13b"] == status["4.13c"] == "not-run"
    assert {status[f"4.{number}"] for number in range(1, 13)} <= {"fail", "pass"}


# Sabotage: the claims must notice -------------------------------------------------------------------


def shuffle_weights(model: HookedTransformer) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        values = parameter.data.flatten()
        parameter.data = values[torch.randperm(len(values), generator=generator)].view_as(parameter)


def freeze_attention(model: HookedTransformer) -> None:
    for block in model.blocks:
        block.attn.W_Q.data.zero_()
        block.attn.b_Q.data.zero_()


@pytest.mark.parametrize("sabotage", [shuffle_weights, freeze_attention])
def test_sabotaged_weights_fail(sabotage: Callable[[HookedTransformer], None]) -> None:
    model = twin()
    sabotage(model)
    found = verdicts(model)
    assert found["4.t1"] == "fail"
    assert sum(status == "fail" for status in found.values()) >= 4


def test_shuffled_labels_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """IO and S change places in half of the prompts, the model stays."""
    real = measures_module.ioi

    def swapped(*given, **options):
        task = real(*given, **options)
        swap = torch.rand(task.n_examples, generator=torch.Generator().manual_seed(0)) < 0.5
        right, wrong = task.answers.correct, task.answers.wrong
        assert wrong is not None
        both = Answers(
            task.answers.positions,
            torch.where(swap[:, None, None], wrong, right),
            torch.where(swap[:, None, None], right, wrong),
        )
        io, s1 = task.positions["IO"], task.positions["S1"]
        places = {**task.positions, "IO": torch.where(swap, s1, io), "S1": torch.where(swap, io, s1)}
        return dataclasses.replace(task, answers=both, positions=places)

    monkeypatch.setattr(measures_module, "ioi", swapped)
    found = verdicts(twin())
    assert found["4.t1"] == "fail"
    assert sum(status == "fail" for status in found.values()) >= 3


def test_a_model_without_a_circuit_fails_every_claim_about_circuits() -> None:
    whole, silent = twin(), twin()
    for block in silent.blocks:
        block.attn.W_O.data.mul_(1e-6)
    for model, threshold, reason in ((whole, 50.0, "no head carries"), (silent, 0.05, "score alike")):
        measured = measure_twin(model, dataclasses.replace(SMALL, threshold=threshold), 0)
        assert measured.anatomy is None
        assert reason in measured.reason
        assert all(math.isnan(measured.measures[name]) for name in OF_CIRCUITS)


@pytest.mark.slow
def test_the_quick_budget_runs(tmp_path: Path) -> None:
    run = LAB.run(out=tmp_path, device="cpu")
    assert [(checked.claim.id, checked.reason) for checked in run.claims if checked.status == "fail"] == []
