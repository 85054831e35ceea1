"""Step 04 as a whole: what the bundled twin shows, and that its claims notice sabotage."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mechscope import checkpoints, tasks
from mechscope.checkpoints import load_model
from mechscope.checkpoints.lab_models import GPT2_SMALL, SMOLLM2
from mechscope.labs import Lab, check_claims, run_lab
from mechscope.labs.ioi import LAB, IOIConfig
from mechscope.labs.ioi import experiment as experiment_module
from mechscope.labs.ioi import measures as measures_module
from mechscope.labs.ioi.claims import CLAIMS, OFFLINE, RETRAINED
from mechscope.labs.ioi.experiment import Facts
from mechscope.labs.ioi.measures import OF_CIRCUITS, measure_twin
from mechscope.model.transformer import HookedTransformer
from mechscope.pages.text_template import fill_text
from mechscope.tasks.metrics import Answers
from tests.labs.lab_models import absent, stand_in
from tests.labs.lesson_names import names_read, optional_names

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
    folder = Path(checkpoints.__file__).parent / "bundled" / "ioi-twin"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2e6
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "name mover" in card
    assert "{" not in card


# The whole step -------------------------------------------------------------------------------------


@pytest.fixture
def small_lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(experiment_module, "GPT2_SMALL", absent(GPT2_SMALL))
    monkeypatch.setattr(experiment_module, "SMOLLM2", absent(SMOLLM2))
    return dataclasses.replace(LAB, configs={"quick": SMALL, "full": SMALL}, seeds={"quick": 1, "full": 1})


def test_the_report_tells_everything(small_lab: Lab, tmp_path: Path) -> None:
    run = run_lab(small_lab, out=tmp_path, device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert {name for name in status if not name.startswith("4.t")} == {
        *(f"4.{number}" for number in (*range(1, 13), "13a", "13b", "13c")),
        *(f"4.s{number}" for number in range(1, 10)),
    }
    assert all(value == "not-run" for name, value in status.items() if not name.startswith("4.t"))
    assert status["4.t12"] == "not-run"
    assert status["4.t2"] == status["4.t3"] == status["4.t8"] == status["4.t11"] == "pass"
    html = run.report.read_text(encoding="utf-8")
    assert html.count("<figure ") == len(run.outcome.figures) == 13
    assert "[[number" not in html
    assert "[[figure" not in html
    assert "GPT-2 small is not on this machine" in html
    reasons = {checked.reason for checked in run.claims if checked.claim.id.startswith("4.s")}
    assert reasons == {absent(SMOLLM2).missing}
    assert "This run did not look at it: SmolLM2-135M is not on this machine" in html
    text = LAB.lesson.read_text(encoding="utf-8")
    missing = names_read(text) - {*run.outcome.lesson_values(0), "config"}
    assert missing == {"gpt2_logit_difference", "smollm2_accuracy"} <= optional_names(text)
    for figure in run.outcome.figures:
        assert "ook" in figure.caption, f"{figure.name} does not say what to look for"
        assert figure.data
        assert (run.folder / "figures" / f"{figure.name}.json").is_file()
    claims = json.loads((run.folder / "claims.json").read_text())["claims"]
    assert len(claims) == len(CLAIMS)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({}, "Without the name movers 80 % is lost."),
        ({"movers_lost": None}, "Here no head was found to be a name mover."),
        (
            {},
            "The median of random sets is 5 %, and of sets with the same number of heads in each layer −2 %.",
        ),
        ({"random_median": None}, "This null is easy to beat. The same is true of the knock-outs"),
        ({"matched_median": None}, "This null is easy to beat. The same is true of the knock-outs"),
    ],
)
def test_the_lesson_says_what_was_found(facts: dict[str, None], sentence: str) -> None:
    text = LAB.lesson.read_text(encoding="utf-8")
    known = Facts(
        circuit_heads=4,
        all_heads=18,
        roles="name mover: 2.1",
        best_baseline="last name",
        random_median=0.05,
        matched_median=-0.02,
        movers_lost=0.8,
        checks_made=9,
        supporting=7,
        undermining=1,
        inconclusive=1,
        cheapest_check="enough: repeat it",
        smollm2_missing="",
        smollm2_classes="",
    )
    values = dict.fromkeys(names_read(text), 1.0) | {"config": SMALL} | vars(known) | facts
    values |= {"measures": defaultdict(lambda: 1.0)}
    assert sentence in " ".join(fill_text(text, values).replace("\u00a0", " ").split())


@pytest.mark.slow
def test_gpt2_is_measured_where_it_is_there(
    small_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.labs.test_ioi_methods import in_gpt2_shape

    monkeypatch.setattr(experiment_module, "GPT2_SMALL", stand_in(GPT2_SMALL, in_gpt2_shape))
    run = run_lab(small_lab, out=tmp_path, device="cpu")
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


def failed(found: dict[str, str]) -> set[str]:
    return {name for name, status in found.items() if status == "fail"}


def test_the_twin_as_it_is_bears_every_claim_out() -> None:
    """So whatever fails below fails for the sabotage. (Of so few prompts, one more or less decides about 95 %.)"""
    found = verdicts(twin())
    assert failed(found) - {"4.t1"} == set()
    assert {name for name, status in found.items() if status == "not-run"} == {"4.t12"}


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [
        pytest.param(
            shuffle_weights,
            {"4.t1", "4.t3", "4.t4", "4.t5", "4.t6", "4.t7", "4.t10"},
            marks=pytest.mark.slow,
        ),
        # Name movers that look everywhere alike still copy, but nobody is left who tells them where not to look.
        (freeze_attention, {"4.t1", "4.t3", "4.t10"}),
    ],
)
def test_sabotaged_weights_fail(sabotage: Callable[[HookedTransformer], None], noticed: set[str]) -> None:
    model = twin()
    sabotage(model)
    assert noticed <= failed(verdicts(model))


@pytest.mark.slow
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
    found = failed(verdicts(twin()))
    assert "4.t1" in found
    assert found & {"4.t5", "4.t6", "4.t7", "4.t8"}  # which of them depends on the prompts


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
    run = run_lab(LAB, out=tmp_path, device="cpu")
    assert [(checked.claim.id, checked.reason) for checked in run.claims if checked.status == "fail"] == []
