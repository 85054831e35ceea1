"""A task checks itself, and measures what a whole run would."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.tasks.task import Task
from tests.model.tiny import close, tiny_model
from tests.techniques.tiny_task import tiny_task


@pytest.mark.parametrize("variant", ["plain", "rotary", "soft caps", "shortformer"])
def test_logits_are_those_of_a_whole_run_where_answers_are_due(variant: str) -> None:
    model, task = tiny_model(variant), tiny_task(aligned=False, n_answers=2)
    whole = model(task.clean)
    rows = torch.arange(task.n_examples)[:, None]
    assert close(task.logits(model, task.clean), whole[rows, task.answers.positions])


def test_padding_on_the_right_changes_no_answer() -> None:
    model, task = tiny_model(), tiny_task(length=6)
    where = torch.tensor([[2], [4], [5]])
    lengths = where[:, 0] + 1
    padded = dataclasses.replace(
        task,
        answers=dataclasses.replace(task.answers, positions=where),
        lengths=lengths,
        positions={"end": where[:, 0]},
    )
    found = padded.logits(model, padded.clean)
    for row, length in enumerate(lengths.tolist()):
        alone = model(padded.clean[row : row + 1, :length])[:, -1]
        assert close(found[row], alone)
    assert not padded.aligned


def test_baselines_are_the_means_of_both_runs() -> None:
    model, task = tiny_model(seed=3), tiny_task(seed=3, metric="kl_divergence")
    found = task.baselines(model)
    assert float(found.clean.abs().max()) < 1e-6  # no divergence from itself
    assert found.difference == pytest.approx(-float(found.corrupted.mean()))
    assert found.check_difference() == found.difference


def test_a_part_of_a_task_is_a_task() -> None:
    task = dataclasses.replace(
        tiny_task(batch=4), templates=torch.tensor([0, 1, 0, 1]), labels=(("a",) * 6,) * 4
    )
    first, second = task.split(0.25)
    assert (first.n_examples, second.n_examples) == (1, 3)
    some = task.select([3, 0])
    for same in (np.array([3, 0]), torch.tensor([-1, 0]), (3, 0), range(3, -1, -3)):
        assert torch.equal(task.select(same).clean, some.clean)
    mask = [True, False, True, False]
    for given in (mask, np.array(mask), torch.tensor(mask), [0, 2], slice(None, None, 2)):
        assert torch.equal(task.select(given).clean, task.clean[[0, 2]])
    assert task.select(np.int64(2)).n_examples == 1
    for wrong in ([0.5], [4], [-5], [], mask[:3], "12", {0, 1}, None, [[0, 1]]):
        with pytest.raises(ValueError, match=r"example|slice|indices"):
            task.select(wrong)  # type: ignore[arg-type]
    assert torch.equal(some.clean, task.clean[[3, 0]])
    assert torch.equal(some.answers.correct, task.answers.correct[[3, 0]])
    assert some.templates is not None and some.templates.tolist() == [1, 0]
    assert torch.equal(some.positions["end"], task.positions["end"][[3, 0]])
    assert some.labels is not None and len(some.labels) == 2
    with pytest.raises(ValueError, match="leaves one part empty"):
        task.split(0.01)


def test_positions_are_labelled_by_tokens_where_all_prompts_agree_on_them() -> None:
    task = tiny_task(length=3)
    assert task.position_labels() == ["0", "1", "2"]
    named = dataclasses.replace(task, labels=(("BOS", " John", " "),) * 3)
    assert named.position_labels() == ["0 BOS", "1 John", "2 ' '"]


def changed(**changes: Any) -> Task:
    return dataclasses.replace(tiny_task(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrupted": torch.zeros(3, 5, dtype=torch.long)}, "same number of tokens"),
        ({"clean": torch.zeros(3, dtype=torch.long)}, r"\[batch pos\]"),
        ({"clean": torch.zeros(3, 0, dtype=torch.long)}, r"\[batch pos\]"),
        ({"corrupted": tiny_task().clean}, "identical"),
        ({"positions": {"S": torch.tensor([0, 1])}}, "'S' needs one position for each of 3 prompts"),
        ({"positions": {"S": torch.tensor([0, 1, 6])}}, "between 0 and 5"),
        ({"answers": tiny_task(batch=2).answers}, "3 prompts but 2 rows"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(**changes)


def test_a_task_for_another_model_is_refused() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match="n_ctx=12"):
        tiny_task(length=13).check(model)
    with pytest.raises(ValueError, match="another model's tokenizer"):
        changed(clean=torch.full((3, 6), 30)).check(model)
    answers = dataclasses.replace(tiny_task().answers, correct=torch.full((3, 1, 1), 99))
    with pytest.raises(ValueError, match="token id 99"):
        changed(answers=answers).check(model)
    assert "tiny: 3 pairs of 6 tokens" in repr(tiny_task())
