"""Greater-than, docstring, pronouns and agreement: answers, corruptions and positions, read back as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from mechscope import tasks
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_lists import word_lists
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.tasks.docstrings import CORRUPTIONS
from mechscope.tasks.task import Task
from tests.tasks.readers import all_words, reading_model

BUILDERS: dict[str, Callable[..., Task]] = {
    name: getattr(tasks, name)
    for name in ("ioi", "greater_than", "docstring", "gendered_pronoun", "subject_verb_agreement")
}


def texts(task: Task, tokens: torch.Tensor, tokenizer: Tokenizer) -> list[str]:
    lengths = [task.length] * task.n_examples if task.lengths is None else task.lengths.tolist()
    return [tokenizer.decode(row[:length]) for row, length in zip(tokens.tolist(), lengths, strict=True)]


def words(tokens: torch.Tensor, tokenizer: Tokenizer) -> list[set[str]]:
    return [set(tokenizer.token_texts([token for token in row[0] if token >= 0])) for row in tokens.tolist()]


@pytest.fixture(params=["our words", "GPT-2"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "our words":
        return all_words()
    return Tokenizer.from_folder(request.getfixturevalue("data_folder") / "gpt2_tokenizer")


@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_keeps_the_contract(name: str) -> None:
    build, model = partial(BUILDERS[name], prepend_bos=False), reading_model()
    task = build(model, n=12, seed=4)
    assert task.n_examples == 12 and task.seed == 4 and task.corruption
    assert torch.equal(task.clean, build(model, n=12, seed=4).clean)
    assert torch.equal(task.corrupted, build(all_words(), n=12, seed=4).corrupted)
    assert not torch.equal(task.clean, build(model, n=12, seed=5).clean)
    assert (task.clean != task.corrupted).any(1).all()
    assert torch.isfinite(task.baselines(model).clean).all()
    assert build(model, n=2, metric="kl_divergence").metric.unit == "nats"
    assert model.cfg.default_prepend_bos
    with_bos = BUILDERS[name](model, n=12, seed=4)
    assert with_bos.labels is not None and all(labels[0] == "<bos>" for labels in with_bos.labels)
    assert (with_bos.clean[:, 0] == 0).all() and torch.equal(with_bos.clean[:, 1:], task.clean)
    for position, where in task.positions.items():
        assert torch.equal(with_bos.positions[position], where + 1)
    assert torch.equal(task.positions["end"], task.answers.positions[:, 0])
    assert task.answers.wrong is not None
    for right, wrong in zip(task.answers.correct.tolist(), task.answers.wrong.tolist(), strict=True):
        assert not {token for token in right[0] if token >= 0} & set(wrong[0])
    with pytest.raises(ValueError, match="at least 1"):
        build(model, n=0)
    with pytest.raises(ValueError, match="no tokenizer"):
        build(type("Model", (), {"cfg": model.cfg, "tokenizer": None})())
    with pytest.raises(KeyError, match="unknown metric 'loss'"):
        build(model, metric="loss")
    if name != "ioi":
        assert build(model, n=12, template=0).aligned
        with pytest.raises(ValueError, match="template must be a number from 0"):
            build(model, template=99)


@pytest.mark.parametrize("seed", [0, 3])
def test_greater_than(tokenizer: Tokenizer, seed: int) -> None:
    task = tasks.greater_than(tokenizer, n=60, seed=seed)
    right, wrong = (
        words(one, tokenizer) for one in (task.answers.correct, task.answers.wrong) if one is not None
    )
    rows = zip(texts(task, task.clean, tokenizer), texts(task, task.corrupted, tokenizer), strict=True)
    starts = set()
    for row, (clean, corrupted) in enumerate(rows):
        century, ending, again = re.findall(r"year (\d\d)(\d\d)?", clean)[0] + (clean[-2:],)
        assert century == again
        starts.add(int(ending))
        assert corrupted == clean.replace(century + ending, century + "01")
        assert right[row] == {f"{year:02d}" for year in range(int(ending) + 1, 100)}
        assert wrong[row] == {f"{year:02d}" for year in range(int(ending) + 1)}
        for name, text in (("XX", " " + century), ("YY", ending)):
            assert tokenizer.decode(task.clean[row, task.positions[name][row]]) == text
    assert min(starts) < 20 and max(starts) > 80
    assert task.metric.name == "probability difference"


def test_greater_than_needs_two_digit_tokens() -> None:
    letters = word_tokenizer(text_pieces("the year 17"))
    with pytest.raises(ValueError, match="token for each of 00 to 99.*'<unk>'"):
        tasks.greater_than(letters)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_docstring(tokenizer: Tokenizer, corruption: str) -> None:
    task = tasks.docstring(tokenizer, n=40, seed=2, corruption=corruption)
    right, wrong = (
        words(one, tokenizer) for one in (task.answers.correct, task.answers.wrong) if one is not None
    )
    rows = zip(texts(task, task.clean, tokenizer), texts(task, task.corrupted, tokenizer), strict=True)
    for row, (clean, corrupted) in enumerate(rows):
        compile(clean + '"""', "docstring", "exec")  # it is Python
        (arguments,) = re.findall(r"\(self, (.*)\)", clean)
        listed = arguments.split(", ")
        documented = re.findall(r":param (\w+):", clean)
        start = listed.index(documented[0])
        assert listed[start : start + 2] == documented
        assert right[row] == {" " + listed[start + 2]}
        twin_listed = re.findall(r"\(self, (.*)\)", corrupted)[0].split(", ")
        twin_documented = re.findall(r":param (\w+):", corrupted)
        assert (twin_listed != listed) == (corruption in ("both", "answer"))
        assert bool(set(twin_documented) & set(listed)) == (corruption == "answer")
        put_in = {*twin_listed, *twin_documented} - set(listed)
        expected = {*listed, *put_in} - {listed[start + 2]}
        assert wrong[row] == {" " + word for word in expected}
        for name, word in (("A_def", documented[0]), ("B_doc", documented[1]), ("C_def", listed[start + 2])):
            assert tokenizer.decode(task.clean[row, task.positions[name][row]]) == " " + word
        assert task.positions["A_def"][row] < task.positions["C_def"][row] < task.positions["A_doc"][row]


@pytest.mark.parametrize("gender", [None, "women", "men"])
def test_gendered_pronoun(tokenizer: Tokenizer, gender: str | None) -> None:
    lists = word_lists("gendered_pronoun")
    task = tasks.gendered_pronoun(tokenizer, n=40, gender=gender)
    clean, corrupted = (texts(task, tokens, tokenizer) for tokens in (task.clean, task.corrupted))
    right = words(task.answers.correct, tokenizer)
    women = 0
    for row in range(40):
        names = [set(re.findall(r"\w+", text[row])) for text in (clean, corrupted)]
        ours = "women" if names[0] & set(lists["women"]) else "men"
        theirs = {"women": "men", "men": "women"}[ours]
        assert names[0] & set(lists[ours]) and names[1] & set(lists[theirs])
        assert right[row] == {" she" if ours == "women" else " he"}
        women += ours == "women"
    assert women == {None: 20, "women": 40, "men": 0}[gender]
    templates = task.templates
    assert templates is not None and (templates.bincount() == 10).all()


@pytest.mark.parametrize("distractor", [None, "same", "other"])
@pytest.mark.parametrize("structure", ["simple", "prepositional", "relative"])
def test_subject_verb_agreement(tokenizer: Tokenizer, structure: str, distractor: str | None) -> None:
    if structure == "simple" and distractor:
        with pytest.raises(ValueError, match="no distractor"):
            tasks.subject_verb_agreement(tokenizer, structure=structure, distractor=distractor)
        return
    lists = word_lists("subject_verb_agreement")
    plural_of = {**lists["subjects"], **lists["things"]}
    singular_of = {many: one for one, many in plural_of.items()}
    task = tasks.subject_verb_agreement(tokenizer, n=42, seed=1, structure=structure, distractor=distractor)
    right = words(task.answers.correct, tokenizer)
    plurals = alike = 0
    for row in range(42):
        found = {
            name: [
                tokenizer.decode(tokens[row, where[row]]).strip() for tokens in (task.clean, task.corrupted)
            ]
            for name, where in task.positions.items()
        }
        clean, corrupted = found["subject"]
        plural = clean in singular_of
        assert corrupted == (singular_of[clean] if plural else plural_of[clean])
        assert right[row] == ({" are", " were", " have"} if plural else {" is", " was", " has"})
        plurals += plural
        if structure != "simple":
            one, other = found["distractor"]
            assert one == other != clean
            alike += (one in singular_of) == plural
    assert plurals == 21
    if structure != "simple":
        assert {None: 0 < alike < 42, "same": alike == 42, "other": alike == 0}[distractor]


def test_own_vocabularies_suffice_task_by_task() -> None:
    for name, build in BUILDERS.items():
        tokenizer = word_tokenizer(tasks.vocabulary(name))
        # Nothing is left out: the same prompts as with the words of all tasks.
        alone, among = build(tokenizer, n=30, seed=9), build(all_words(), n=30, seed=9)
        assert texts(alone, alone.clean, tokenizer) == texts(among, among.clean, all_words())
        assert len(tokenizer) < len(all_words())
    tasks.ioi_double_io(word_tokenizer(tasks.vocabulary("ioi")), n=30)
    with pytest.raises(KeyError, match="no task made of words called 'sorting'; choose from ioi"):
        tasks.vocabulary("sorting")


def test_all_our_words_are_single_tokens_of_gpt2(data_folder: Path) -> None:
    gpt2 = Tokenizer.from_folder(data_folder / "gpt2_tokenizer")
    listed = [piece for name in BUILDERS for piece in tasks.vocabulary(name) if piece.strip().isalpha()]
    # Some words of a template are several tokens at the start of a sentence; fillers never are.
    assert [piece for piece in listed if piece.startswith(" ") and len(gpt2.encode(piece)) != 1] == []
