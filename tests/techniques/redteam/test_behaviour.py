"""Rules that are true, and rules that only look so."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.tasks import Task, repeated_random_tokens
from mechscope.techniques.redteam import Behaviour, redteam
from tests.techniques.redteam.models import (
    VOCAB,
    WORDS,
    induction_rule,
    next_word_rule,
    next_word_task,
    two_jobs,
)


@pytest.fixture(scope="module")
def induction_model() -> Any:
    return ms.load_model("induction-2l")


def verdicts(evidence: Any) -> dict[str, str]:
    return {check.name: check.verdict for check in evidence.checks}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_induction_is_what_the_bundled_model_does(induction_model: Any, seed: int) -> None:
    task = repeated_random_tokens(induction_model, 32, seed=seed, bos=128)
    other = repeated_random_tokens(induction_model, 16, seed=seed + 50, bos=128, half=12)
    evidence = redteam(
        induction_model,
        task,
        Behaviour(induction_rule, "it copies what followed"),
        other_models=[induction_model],
        other_tasks=[other],
        paraphrase=other,
        seed=seed,
        progress=False,
    )
    assert verdicts(evidence) == {
        check.name: "supports" for check in evidence.checks
    } and not evidence.with_verdict("not run"), evidence.to_markdown()
    assert evidence["beats the baselines"].details["same rule"] == ["induction"]
    assert "Every check was run" in evidence.cheapest_falsifier


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rule_that_the_model_does_not_follow(induction_model: Any, seed: int) -> None:
    task = repeated_random_tokens(induction_model, 32, seed=seed, bos=128)
    evidence = redteam(
        induction_model, task, Behaviour(lambda tokens: tokens, "it repeats"), seed=seed, progress=False
    )
    found = verdicts(evidence)
    assert found["agrees with the model"] == found["beats the baselines"] == "undermines"
    assert "induction" in evidence["beats the baselines"].null_name
    assert len(evidence["agrees with the model"].details["counter-examples"]) == 5
    assert "Already done" in evidence.cheapest_falsifier


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_bigram_that_is_taken_for_induction(seed: int) -> None:
    """On the task's own prompts both rules are always right; only edits and the baseline tell them apart."""
    model, task = two_jobs(), next_word_task(40, seed)
    false = redteam(model, task, Behaviour(induction_rule, "induction"), seed=seed, progress=False)
    found = verdicts(false)
    assert found["the model does it"] == found["agrees with the model"] == "supports"
    assert false["agrees with the model"].measured == 1
    assert found["beats the baselines"] == "undermines" and "bigram" in false["beats the baselines"].null_name
    assert found["swaps that matter"] == "undermines", false.to_markdown()
    true = redteam(model, task, Behaviour(next_word_rule, "bigram"), seed=seed, progress=False)
    assert not true.falsified, true.to_markdown()
    assert verdicts(true)["swaps that matter"] == verdicts(true)["reorderings"] == "supports"


def test_baselines_from_training_text() -> None:
    """A bigram that saw the text beats a rule that is right no more often, whatever the task's prompts hold."""
    model, task = two_jobs(), next_word_task(32, 4)
    start = torch.randint(0, WORDS, (60, 1), generator=torch.Generator().manual_seed(4))
    text = (start + torch.arange(10)) % WORDS
    evidence = redteam(
        model, task, Behaviour(induction_rule, "induction"), training_tokens=text, progress=False
    )
    check = evidence["beats the baselines"]
    assert check.verdict == "undermines" and "training_tokens" in check.reason
    # Text in which every word is followed by the next teaches the bigram all there is.
    assert check.details["task prompts alone"]["bigram"] == 1
    assert check.details["task and swapped prompts"]["bigram"] > 0.95


def test_the_worst_template_is_found(induction_model: Any) -> None:
    task = repeated_random_tokens(induction_model, 40, seed=3, bos=128, half=12, answers="last")
    # A quarter of the prompts ask about the first word, and there the rule is wrong.
    clean = task.clean.clone()
    clean[:10, -1] = clean[:10, 1]
    templates = torch.zeros(40, dtype=torch.long)
    templates[:10] = 1

    def rule(tokens: torch.Tensor) -> torch.Tensor:
        found = induction_rule(tokens)
        wrong = tokens[:, -1] == tokens[:, 1]
        return torch.where(wrong[:, None], (found + 1) % 128, found)

    mixed = Task("mixed", clean, task.corrupted, task.answers, templates=templates)
    evidence = redteam(induction_model, mixed, Behaviour(rule, "half right"), progress=False)
    check = evidence["paraphrases"]
    assert check.verdict == "undermines" and "template 1" in check.reason and check.measured == 0


def test_scores_and_among_are_read_as_predictions() -> None:
    model, task = two_jobs(), next_word_task(16, 0)

    def scores(tokens: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(len(tokens), 1, VOCAB)
        found[torch.arange(len(tokens)), 0, (tokens[:, -1] + 1) % WORDS] = 1
        found[..., WORDS:] = 9  # not among what counts
        return found

    by_scores = redteam(model, task, Behaviour(scores, among=range(WORDS)), progress=False)
    by_tokens = redteam(model, task, Behaviour(next_word_rule, among=range(WORDS)), progress=False)
    assert [check.measured for check in by_scores.checks[:6]] == [
        check.measured for check in by_tokens.checks[:6]
    ]
    again = redteam(model, task, Behaviour(next_word_rule, among=range(WORDS)), progress=False)
    assert [check.measured for check in again.checks] == [check.measured for check in by_tokens.checks]


def test_evidence_shows_itself() -> None:
    evidence = redteam(
        two_jobs(), next_word_task(16, 0), Behaviour(induction_rule, "in|duction"), progress=False
    )
    read = json.loads(evidence.to_json())
    assert read["claim"] == "in|duction" and len(read["rungs"]) == len(evidence.checks)
    text = evidence.to_markdown()
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == len(evidence.checks) + 1
    assert all(line.count("|") == table[0].count("|") for line in table)
    assert "the rule says" in text
    figure = evidence.figure()
    drawn = sum(len(trace.x) for trace in figure.data if trace.name != "null or baseline")
    assert drawn == sum(check.measured is not None for check in evidence.checks)
    # What undermines the claim is on top.
    top = figure.layout.yaxis.ticktext[0].replace("<br>", " ")
    assert top in {check.name for check in evidence.with_verdict("undermines")}
    with pytest.raises(KeyError, match="no check"):
        evidence["nonsense"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda tokens: tokens[:, :3], "gave"),
        (lambda tokens: tokens.float(), "gave"),
        (lambda tokens: torch.full_like(tokens, -1), "predicts nothing"),
        (lambda tokens: torch.full((*tokens.shape, VOCAB), float("nan")), "NaN"),
    ],
)
def test_rules_that_are_none(rule: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        redteam(two_jobs(), next_word_task(8, 0), Behaviour(rule), progress=False)


def test_bad_settings() -> None:
    model, task, rule = two_jobs(), next_word_task(8, 0), Behaviour(next_word_rule)
    with pytest.raises(ValueError, match="at least 1"):
        redteam(model, task, rule, n_null=0, progress=False)
    with pytest.raises(ValueError, match="at least 4"):
        redteam(model, task.select([0, 1]), rule, progress=False)
    with pytest.raises(ValueError, match="training_tokens"):
        redteam(model, task, rule, training_tokens=torch.tensor([[0, 1, VOCAB]]), progress=False)
    with pytest.raises(KeyError, match="among"):
        redteam(model, task, Behaviour(next_word_rule, among=[0, VOCAB]), progress=False)
    with pytest.raises(ValueError, match="`hypothesis` is"):
        redteam(model, task, "induction", progress=False)  # type: ignore[arg-type]
    with torch.no_grad():
        model.embed.W_E[:] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        redteam(model, task, rule, progress=False)
