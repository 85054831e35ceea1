"""Tasks of plain tokens: repeated tokens and the algorithmic ones, checked by doing the task."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mechscope import tasks
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from tests.model.tiny import tiny_model
from tests.tasks.readers import all_words, reading_model


def wrong(task: Task) -> torch.Tensor:
    assert task.answers.wrong is not None
    return task.answers.wrong


@pytest.mark.parametrize("answers", ["all", "last"])
@pytest.mark.parametrize("bos", [None, 29, "auto"])
@pytest.mark.parametrize("seed", [0, 4])
def test_repeated_random_tokens(seed: int, bos: int | str | None, answers: str) -> None:
    model = tiny_model()
    task = tasks.repeated_random_tokens(model, n=9, seed=seed, half=5, bos=bos, answers=answers)
    start = 1 if bos == 29 else 0
    assert task.clean.shape == (9, start + 9) and task.aligned
    assert task.answers.positions.shape[1] == (4 if answers == "all" else 1)
    for row in range(9):
        clean, corrupted = task.clean[row, start:].tolist(), task.corrupted[row, start:].tolist()
        assert clean[:4] == clean[5:] == corrupted[5:] and len(set(clean)) == 5
        assert not set(corrupted[:5]) & set(clean)
        for place, answer in enumerate(task.answers.positions[row].tolist()):
            earlier = clean.index(clean[answer - start])
            assert task.answers.correct[row, place].tolist() == [clean[earlier + 1]]
            assert wrong(task)[row, place].tolist() == [corrupted[earlier + 1]]
        assert clean[int(task.positions["A1"][row]) - start] == clean[-1]
        assert int(task.positions["B1"][row]) == int(task.positions["A1"][row]) + 1
        assert int(task.positions["start2"][row]) == start + 5
    if start:
        assert (task.clean[:, 0] == 29).all() and not (task.clean[:, 1:] == 29).any()
    assert torch.isfinite(task.baselines(model).corrupted).all()


def test_repeated_random_tokens_fit_what_there_is() -> None:
    assert tasks.repeated_random_tokens(tiny_model()).length == 11  # a context of 12
    assert tasks.repeated_random_tokens(1000).length == 39
    with_words = tasks.repeated_random_tokens(reading_model(), n=50)
    # The tokenizer's BOS begins; special tokens are never drawn.
    assert (with_words.clean[:, 0] == 0).all() and (with_words.clean[:, 1:] > 2).all()
    with pytest.raises(ValueError, match="half may be up to 6"):
        tasks.repeated_random_tokens(tiny_model(), half=7)
    with pytest.raises(ValueError, match="has 9 tokens"):
        tasks.repeated_random_tokens(10, half=6, bos=0)
    with pytest.raises(ValueError, match="bos=30"):
        tasks.repeated_random_tokens(tiny_model(), bos=30)
    with pytest.raises(ValueError, match='must be "all"'):
        tasks.repeated_random_tokens(30, answers="first")
    with pytest.raises(TypeError, match="not str"):
        tasks.repeated_random_tokens("gpt2")


@pytest.mark.parametrize("change", ["a", "b"])
def test_modular_addition(change: str) -> None:
    task = tasks.modular_addition(11, n=50, seed=2, change=change)
    assert len({tuple(row) for row in task.clean.tolist()}) == 50 and task.aligned
    for row in range(50):
        (a, b, equals), (other_a, other_b, _) = task.clean[row].tolist(), task.corrupted[row].tolist()
        assert equals == 11 and (a == other_a) == (change == "b") and (b == other_b) == (change == "a")
        assert task.answers.correct[row].tolist() == [[(a + b) % 11]]
        assert wrong(task)[row].tolist() == [[(other_a + other_b) % 11]] != [[(a + b) % 11]]
    whole = tasks.modular_addition(5, n=None)
    assert whole.clean[:, :2].tolist() == [[a, b] for a in range(5) for b in range(5)]
    for options, message in (
        ({"p": 1}, "at least 2"),
        ({"p": 3, "n": 10}, "9 pairs"),
        ({"change": "c"}, 'must be "a"'),
    ):
        with pytest.raises(ValueError, match=message):
            tasks.modular_addition(**options)


@pytest.mark.parametrize("name", ["sorting", "reversal"])
@pytest.mark.parametrize("seed", [0, 4])
def test_rewriting(name: str, seed: int) -> None:
    task: Task = getattr(tasks, name)(length=5, n_values=12, n=20, seed=seed)
    assert task.clean.shape == (20, 10) and task.aligned
    for row in range(20):
        for tokens, answers in ((task.clean, task.answers.correct), (task.corrupted, wrong(task))):
            given = tokens[row, :5].tolist()
            expected = sorted(given) if name == "sorting" else given[::-1]
            assert tokens[row, 5] == 12
            assert answers[row, :, 0].tolist() == expected
            assert tokens[row, 6:].tolist() == expected[:-1]
        assert not set(task.clean[row, :5].tolist()) & set(task.corrupted[row, :5].tolist())
    assert task.answers.positions[0].tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match=f"{name}: .* need 10 different values, but there are only 9"):
        getattr(tasks, name)(length=5, n_values=9)


@pytest.mark.parametrize("seed", [0, 4])
def test_balanced_brackets(seed: int) -> None:
    task = tasks.balanced_brackets(8, n=40, seed=seed)
    assert task.clean.shape == (40, 9) and (task.clean[:, -1] == 2).all()

    def balances(row: list[int]) -> bool:
        text = "".join("()"[bracket] for bracket in row)
        while "()" in text:
            text = text.replace("()", "")
        return not text

    for row in range(40):
        clean, corrupted = task.clean[row, :-1].tolist(), task.corrupted[row, :-1].tolist()
        assert balances(clean) != balances(corrupted)
        assert sum(one != other for one, other in zip(clean, corrupted, strict=True)) == 2
        assert sum(clean) == sum(corrupted) == 4
        assert task.answers.correct[row].tolist() == [[3 if balances(clean) else 4]]
        assert wrong(task)[row].tolist() == [[4 if balances(clean) else 3]]
    assert int((task.answers.correct == 3).sum()) == 20
    for length in (2, 7):
        with pytest.raises(ValueError, match="even number"):
            tasks.balanced_brackets(length)


@pytest.mark.parametrize("default", [True, False])
def test_repeats_start_as_the_model_reads_text(default: bool) -> None:
    model = HookedTransformer(
        dataclasses.replace(reading_model().cfg, default_prepend_bos=default), all_words()
    )
    task = tasks.repeated_random_tokens(model, n=4, half=5)
    assert bool((task.clean[:, 0] == model.tokenizer.bos_token_id).all()) is default
    assert task.length == 9 + default and int(task.positions["start2"][0]) == 5 + default
    assert not (task.clean[:, int(default) :] == model.tokenizer.bos_token_id).any()
