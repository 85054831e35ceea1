"""Tasks from one's own prompts: what is found, and what is said where they do not fit."""

from __future__ import annotations

import numpy as np
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
    for letters, begin in ((Letters(), []), (Letters(prepends_bos=True), [0])):
        task = tasks.from_prompts(letters, ["abc d"], ["abd d"], ["e"], ["f"])
        assert task.clean.tolist() == [[*begin, 1, 2, 3, 27, 4]] and task.answers.correct.item() == 5
        with pytest.raises(ValueError, match="' e' is not one token but 2"):
            tasks.from_prompts(letters, ["abc"], ["abd"], [" e"])


@pytest.mark.parametrize("spelled", ["", "^"])
@pytest.mark.parametrize("appends_eos", [False, True])
@pytest.mark.parametrize("prepends", [False, True])
@pytest.mark.parametrize("default", [False, True])
def test_prompts_are_read_as_the_model_reads_text(
    default: bool, prepends: bool, appends_eos: bool, spelled: str
) -> None:
    model = tiny_model(default_prepend_bos=default)
    model.set_tokenizer(Letters(prepends_bos=prepends, appends_eos=appends_eos, apart=True))
    texts = [spelled + "abc", spelled + "xyzc"]
    task = tasks.from_prompts(
        model, texts, [spelled + "bbc", spelled + "yyzc"], ["e", "f"], ["g", "h"], {"c": -1}, prepend_bos=None
    )
    for row, text in enumerate(texts):
        expected = model.to_tokens(text)[0]
        assert task.clean[row, : len(expected)].tolist() == expected.tolist()
        end = int(task.answers.positions[row, 0])
        assert end == len(expected) - 1 == int(task.positions["c"][row])
        assert task.labels is not None
        assert list(task.labels[row][: len(expected)]) == model.to_str_tokens(text)
        assert 28 not in expected
    logits = torch.stack([model(text)[0, -1] for text in texts])
    right = logits[torch.arange(2), task.answers.correct[:, 0, 0]]
    wrong = logits[torch.arange(2), torch.tensor([7, 8])]
    assert torch.allclose(task.baselines(model).clean, right - wrong, atol=1e-4)


def test_one_prompt_of_a_pair_may_not_spell_out_the_begin_token_alone() -> None:
    with pytest.raises(ValueError, match="pair 0: only one of the prompts starts with the begin token"):
        tasks.from_prompts(Letters(prepends_bos=True), ["^bc"], ["abc"], ["e"])


@pytest.mark.parametrize(
    "kind",
    [list, tuple, torch.tensor, np.array, lambda ids: np.array(ids, np.uint8), lambda ids: torch.tensor(ids).int(),
     lambda ids: [np.int16(index) for index in ids], lambda ids: [torch.tensor(index) for index in ids]],
)  # fmt: skip
def test_answers_and_tokens_of_every_kind(kind) -> None:
    plain = tasks.from_prompts(TOKENIZER, CLEAN, CORRUPTED, [3, 4], [5, 6])
    assert torch.equal(
        tasks.from_prompts(TOKENIZER, CLEAN, CORRUPTED, kind([3, 4]), kind([5, 6])).answers.correct,
        plain.answers.correct,
    )
    expected = tasks.from_tokens([[1, 2], [3, 4]], [[5, 2], [6, 4]], [7, 8], [9, 10])
    found = tasks.from_tokens(
        [kind([1, 2]), kind([3, 4])], [kind([5, 2]), kind([6, 4])], kind([7, 8]), kind([9, 10])
    )
    for name in ("clean", "corrupted"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert torch.equal(found.answers.correct, expected.answers.correct)
    assert torch.isfinite(found.baselines(tiny_model()).clean).all()


@pytest.mark.parametrize("given", [[1.5, 2.0], [True, False], torch.tensor([1.0, 2.0]), np.array([0.5, 1.0])])
def test_answers_that_are_no_whole_numbers(given) -> None:
    with pytest.raises(TypeError, match="whole number"):
        tasks.from_tokens([[1, 2], [3, 4]], [[5, 2], [6, 4]], given)
    with pytest.raises(TypeError, match="whole number"):
        tasks.from_prompts(TOKENIZER, CLEAN, CORRUPTED, given)


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
    with pytest.raises(ValueError, match="pair 0: position 'x' is 7, but the prompt has 6 tokens"):
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
    with pytest.raises(ValueError, match="1 answers per prompt but answers_at names 2"):
        tasks.from_tokens(clean, corrupted, [1, 2, 3, 4], answers_at=[3, -1])
    with pytest.raises(ValueError, match=r"not \(4, 6\) and \(4, 5\)"):
        tasks.from_tokens(clean, corrupted[:, :5], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="pair 2: both prompts are the same"):
        mixed = torch.cat([corrupted[:2], clean[2:3], corrupted[3:]])
        tasks.from_tokens(clean, mixed, [1, 2, 3, 4])
    with pytest.raises(ValueError, match="is 6, but the prompt has 6"):
        tasks.from_tokens(clean, corrupted, [1, 2, 3, 4], answers_at=6)


def test_every_prompt_whose_answer_is_several_tokens_is_counted() -> None:
    message = (
        r"pair 0: the right answer ' quiet loud' is not one token but 2.* 2 of 2 prompts have a right answer"
    )
    with pytest.raises(ValueError, match=message):
        tasks.from_prompts(
            TOKENIZER, CLEAN, CORRUPTED, [" quiet loud", [" far", " far away"]], [" far", " cat"]
        )
    with pytest.raises(ValueError, match=r"pair 1: the wrong answer.* but 2: \[' far', ' away'\]\.$"):
        tasks.from_prompts(TOKENIZER, CLEAN, CORRUPTED, [" quiet", " loud"], [" far", " far away"])
