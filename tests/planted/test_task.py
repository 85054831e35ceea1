"""Tasks of planted models: the behaviour is there in the clean run and gone in the corrupted one."""

from __future__ import annotations

import pytest
import torch

from mechscope import planted


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_clean_runs_answer_right_and_corrupted_ones_wrong(name: str) -> None:
    model = planted.load(name)
    task = model.task(20, seed=len(name))
    assert task.n_examples == 20 and task.seed == len(name)
    assert bool((task.clean[:, 0] == 0).all())
    found = task.baselines(model.model)
    assert float(found.clean.min()) > 4 and float(found.corrupted.max()) < -4
    assert float(task.with_metric("accuracy").baselines(model.model).clean.mean()) == 1.0
    expected = model.expected([row[1:] for row in task.labels or ()])
    for answers, pos, right in zip(
        expected, task.answers.positions[:, 0].tolist(), task.answers.correct.flatten().tolist(), strict=True
    ):
        assert answers[pos] == model.vocabulary[right]
    assert bool((task.answers.correct != task.answers.wrong).all())


def test_one_position_makes_an_aligned_task() -> None:
    model = planted.load("dyck2")
    task = model.task(10, at=6)
    assert task.aligned and bool((task.answers.positions == 6).all())
    assert not model.task(10).aligned


def test_another_seed_draws_another_task() -> None:
    model = planted.load("sort")
    assert torch.equal(model.task(8, seed=1).clean, model.task(8, seed=1).clean)
    assert not torch.equal(model.task(8, seed=1).clean, model.task(8, seed=2).clean)


def test_metric_is_taken_by_name() -> None:
    task = planted.load("parity").task(6, metric="kl_divergence")
    assert task.metric.needs_reference


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "at least 1"),
        ({"at": 99}, "not a position"),
        ({"at": 1}, "no two inputs"),
    ],
)
def test_impossible_tasks_are_told(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        planted.load("induction").task(**{"n": 4, **arguments})


def test_inputs_are_checked() -> None:
    model = planted.load("parity")
    with pytest.raises(ValueError, match="takes 9 tokens"):
        model.run(["1 0"])
    with pytest.raises(KeyError, match="has no token '2'"):
        model.run(["1 0 1 0 1 0 1 0 2"])
    with pytest.raises(ValueError, match="list of inputs"):
        model.run("1 0 1 0 1 0 1 0 1")
    with pytest.raises(ValueError, match="at least one input"):
        model.run([])
    with pytest.raises(ValueError, match="at least 1"):
        model.check(0)


def test_check_counts_wrong_answers() -> None:
    model = planted.load("parity")
    weight = model.model.blocks[0].mlp.W_out
    weight.data.zero_()
    found = model.check()
    assert found.complete and found.inputs == 512 and found.answers == 512 * 9
    assert not found.exact and found.wrong > found.answers / 3 and found.margin <= 0


def test_repr_says_what_it_is() -> None:
    shown = repr(planted.load("ioi", rotate=True, noise=0.01))
    assert "planted ioi" in shown and "8 true edges" in shown and "rotated" in shown and "noise 0.01" in shown
