"""Tasks from one's own prompts: what is found, and what is said where they do not fit."""

from __future__ import annotations

import pytest
import torch

from mechscope import tasks
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

TOKENIZER = word_tokenizer(text_pieces(["The cat sat on the mat.", "A dog ran far away. It was loud quiet"]))
CLEAN = ["The cat sat. It was", "A dog ran far away. It was"]
CORRUPTED = ["The dog sat. It was", "A cat ran far away. It was"]


def test_from_prompts() -> None:
    task = tasks.from_prompts(
        TOKENIZER,
        CLEAN,
        CORRUPTED,
        [" quiet", [" loud", " far"]],
        [" loud", " quiet"],
        {"animal": 1, "last": -1, "stop": [3, -3]},
        name="animals",
        corruption="another animal",
    )
    assert task.name == "animals" and task.metric.name == "logit difference" and not task.aligned
    assert task.lengths is not None and task.lengths.tolist() == [6, 8]
    token = TOKENIZER.convert_tokens_to_ids
    assert task.answers.correct.tolist() == [[[token(" quiet"), -1]], [[token(" loud"), token(" far")]]]
    assert {name: where.tolist() for name, where in task.positions.items()} == {
        "animal": [1, 1],
        "last": [5, 7],
        "stop": [3, 5],
        "end": [5, 7],
    }
    assert task.labels is not None and task.labels[0] == ("The", " cat", " sat", ".", " It", " was", "", "")
    shifted = tasks.from_prompts(
        TOKENIZER, CLEAN, CORRUPTED, [3, 4], None, {"animal": 1}, prepend_bos=True, metric="accuracy"
    )
    assert shifted.positions["animal"].tolist() == [2, 2] and (shifted.clean[:, 0] == 0).all()
    assert tasks.from_prompts(TOKENIZER, CLEAN, CORRUPTED, [3, 4]).metric.unit == "nats"


def test_any_tokenizer_will_do() -> None:
    for letters in (Letters(), Letters(prepends_bos=True)):
        task = tasks.from_prompts(letters, ["abc d"], ["abd d"], ["e"], ["f"])
        assert task.clean.tolist() == [[1, 2, 3, 27, 4]] and task.answers.correct.item() == 5
        with pytest.raises(ValueError, match="' e' is not one token but 2"):
            tasks.from_prompts(letters, ["abc"], ["abd"], [" e"])


def test_bad_prompts() -> None:
    def build(clean=CLEAN, corrupted=CORRUPTED, correct=(" quiet", " loud"), wrong=None, positions=None):
        return tasks.from_prompts(TOKENIZER, clean, corrupted, list(correct), wrong, positions)

    with pytest.raises(ValueError, match="clean is empty"):
        build([], [], [])
    with pytest.raises(ValueError, match="2 clean, 1 corrupted, 2 correct"):
        build(corrupted=CORRUPTED[:1])
    with pytest.raises(ValueError, match="`clean` is a list of strings, not 'The cat"):
        build(clean=CLEAN[0])
    with pytest.raises(ValueError, match=r"(?s)pair 1: the clean prompt has 8 .* one 7.*' ran', ' away'"):
        build(corrupted=[CORRUPTED[0], "A cat ran away. It was"])
    with pytest.raises(ValueError, match="pair 1: both prompts are 'A dog"):
        build(corrupted=[CORRUPTED[0], CLEAN[1]])
    with pytest.raises(ValueError, match="pair 0: the right answer ' far away' is not one token but 2"):
        build(correct=[" far away", " loud"])
    with pytest.raises(ValueError, match="pair 1: the wrong answer ' blue' is not in the tokenizer's"):
        build(wrong=[" far", " blue"])
    with pytest.raises(ValueError, match="pair 0: the right answer is an empty list"):
        build(correct=[[], " loud"])
    with pytest.raises(ValueError, match="does not know ' cow'"):
        build(clean=["The cow sat. It was", CLEAN[1]])
    with pytest.raises(ValueError, match="pair 0: position 'x' is 7, and the prompt has 6 tokens"):
        build(positions={"x": 7})
    with pytest.raises(ValueError, match="1 entries for 2 prompts"):
        build(positions={"x": [1]})
    with pytest.raises(ValueError, match="pair 0: .* no tokens|has no tokens"):
        build(clean=["", CLEAN[1]], corrupted=["", CORRUPTED[1]])


def test_from_tokens() -> None:
    model = tiny_model()
    clean = torch.randint(0, 30, (4, 6), generator=torch.Generator().manual_seed(1))
    corrupted = clean.clone()
    corrupted[:, 2] = (corrupted[:, 2] + 1) % 30
    task = tasks.from_tokens(clean, corrupted, [1, 2, 3, 4], [5, 6, 7, 8], {"changed": 2})
    assert task.answers.positions.tolist() == [[5]] * 4 and task.answers.correct.shape == (4, 1, 1)
    assert task.aligned and task.baselines(model).clean.shape == (4,)
    two = tasks.from_tokens(clean, corrupted, torch.ones(4, 2, dtype=torch.long), answers_at=[3, -1])
    assert two.answers.positions.tolist() == [[3, 5]] * 4
    with pytest.raises(ValueError, match="1 answers a prompt and answers_at names 2"):
        tasks.from_tokens(clean, corrupted, [1, 2, 3, 4], answers_at=[3, -1])
    with pytest.raises(ValueError, match=r"not \(4, 6\) and \(4, 5\)"):
        tasks.from_tokens(clean, corrupted[:, :5], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="pair 2: both prompts are the same"):
        mixed = torch.cat([corrupted[:2], clean[2:3], corrupted[3:]])
        tasks.from_tokens(clean, mixed, [1, 2, 3, 4])
    with pytest.raises(ValueError, match="is 6, and the prompt has 6"):
        tasks.from_tokens(clean, corrupted, [1, 2, 3, 4], answers_at=6)
