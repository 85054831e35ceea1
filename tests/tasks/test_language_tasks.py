"""Greater-than, docstring, pronouns and agreement: answers, corruptions and positions, read back as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from tokenizers import Regex, decoders, models, pre_tokenizers

from mechscope import tasks
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_lists import word_lists
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.docstrings import CORRUPTIONS
from mechscope.tasks.left_out import LeftOut
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


def digit_tokenizer(space: str, digits: int = 1) -> Tokenizer:
    """Knows the words of greater-than, and writes numbers in groups of `digits` digits from the left.

    The space before a number is a token of its own, as in Qwen and SmolLM; or a "▁", as in Llama 2.
    """
    splitter: Any
    if space == "SentencePiece":
        splitter = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(),
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.Punctuation(),
            ]
        )
    else:
        rule = rf" ?\p{{L}}+|\p{{N}}{{1,{digits}}}|[^\s\p{{L}}\p{{N}}]+|\s"
        splitter = pre_tokenizers.Split(Regex(rule), behavior="isolated")
    listed = [*tasks.vocabulary("greater_than"), " 0123456789 1732", *(f" {number}" for number in range(10))]
    pieces = {piece for text in listed for piece, _ in splitter.pre_tokenize_str(text)}
    vocab = {piece: index for index, piece in enumerate(["<bos>", "<unk>", *sorted(pieces)])}
    backend = tokenizers.Tokenizer(models.WordLevel(vocab=vocab, unk_token="<unk>"))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.Metaspace() if space == "SentencePiece" else decoders.Fuse()
    return Tokenizer(backend, bos_token="<bos>", eos_token="<bos>", unk_token="<unk>")


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


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("space", ["a token", "SentencePiece"])
def test_greater_than_digit_by_digit(space: str, seed: int) -> None:
    tokenizer = digit_tokenizer(space)
    task = tasks.greater_than(tokenizer, n=90, seed=seed)
    assert task.name == "greater-than, digit by digit"
    assert task.answers.wrong is not None
    right, wrong = words(task.answers.correct, tokenizer), words(task.answers.wrong, tokenizer)
    tens_seen: set[int] = set()
    both = zip(texts(task, task.clean, tokenizer), texts(task, task.corrupted, tokenizer), strict=True)
    for row, (clean, corrupted) in enumerate(both):
        century, tens, units, again = re.findall(r"year (\d\d)(\d)(\d)", clean)[0] + (clean[-2:],)
        assert century == again
        tens_seen.add(int(tens))
        assert corrupted == clean.replace(century + tens + units, century + "01")
        # The same digit is neither: whether 173_ is later than 1732 depends on the units.
        assert {int(digit) for digit in right[row]} == set(range(int(tens) + 1, 10))
        assert {int(digit) for digit in wrong[row]} == set(range(int(tens)))
        for name, digit in zip(("X1", "X2", "Y1", "Y2"), century + tens + units, strict=True):
            where = task.positions[name][row]
            assert tokenizer.decode(task.clean[row, where]) == digit
        different = (task.clean[row] != task.corrupted[row]).nonzero().flatten().tolist()
        assert set(different) <= {int(task.positions["Y1"][row]), int(task.positions["Y2"][row])}
        assert tokenizer.decode(task.clean[row, task.positions["end"][row]]) == century[1]
    assert tens_seen == set(range(1, 9))
    assert task.metric.name == "probability difference"
    assert task.with_metric("logit_difference").metric.unit == "logits"
    assert tasks.greater_than(all_words(), n=4).name == "greater-than"


def test_a_model_reads_the_version_for_its_tokenizer() -> None:
    tokenizer = digit_tokenizer("a token")
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=16, d_head=8, n_ctx=64, d_vocab=len(tokenizer), attn_only=True, seed=0
    )
    model = HookedTransformer(cfg, tokenizer=tokenizer)
    task = tasks.greater_than(model, n=16, seed=1)
    with torch.no_grad():
        # This model always says 9: more than every start year, whatever the prompt says.
        model.unembed.b_U[tokenizer.encode("9")[-1]] = 50.0
    probabilities = task.baselines(model)
    assert torch.allclose(probabilities.clean, torch.ones(16), atol=1e-4)
    with torch.no_grad():
        model.unembed.b_U[tokenizer.encode("9")[-1]] = 0.0
        model.unembed.b_U[tokenizer.encode("0")[-1]] = 50.0
    found = task.measure(task.logits(model, task.clean))
    assert torch.allclose(found, -torch.ones(16), atol=1e-4)


@pytest.mark.parametrize("in_the_text", ["the year 17", "the year 1 0 2 3 4 5 6 7 8"])
def test_greater_than_needs_tokens_for_pairs_of_digits_or_for_digits(in_the_text: str) -> None:
    letters = word_tokenizer(text_pieces(in_the_text))
    with pytest.raises(ValueError, match="token for each of 00 to 99, or one that writes.*'<unk>'"):
        tasks.greater_than(letters)


def test_three_digits_in_one_token_are_refused() -> None:
    with pytest.raises(ValueError, match=r"writes ' 1732' as \[' ', '173', '2'\]"):
        tasks.greater_than(digit_tokenizer("a token", digits=3))


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


# What a task does without -------------------------------------------------------------------------

KINDS = {
    "ioi": {"names": "names", "places": "places", "objects": "objects"},
    "greater_than": {"nouns": "nouns"},
    "docstring": {"function names": "functions", "argument names": "arguments", "words": "words"},
    "gendered_pronoun": {
        "names for women": "women",
        "names for men": "men",
        "adjectives": "adjectives",
        "nouns": "nouns",
    },
    "subject_verb_agreement": {"subjects": "subjects", "things": "things", "verbs": "verbs"},
}
"""For each task: the kinds of words that it names in reports, and their lists."""


@pytest.mark.parametrize("name", BUILDERS)
def test_words_of_several_tokens_are_named_and_left_out(name: str) -> None:
    lists = word_lists(name)
    missing: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for what, key in KINDS[name].items():
        listed = lists[key]
        sizes[what] = len(listed)
        # The last ones: templates are written out with the first ones.
        missing[what] = [*listed][-2:] if len(listed) > 3 else [*listed][-1:]
    gone = {f" {word}" for found in missing.values() for word in found}
    tokenizer = word_tokenizer([piece for piece in tasks.vocabulary(name) if piece not in gone])
    task = BUILDERS[name](tokenizer, n=30, seed=2)
    for found in task.left_out:
        # A pair of forms is left out as a whole.
        assert {word.split("/")[0] for word in found.words} == set(missing[found.what])
        assert found.listed == sizes[found.what]
        assert f"{len(found.words)} of {found.listed} {found.what}" in repr(task)
    assert {found.what for found in task.left_out} == set(KINDS[name])
    assert tokenizer.unk_token_id not in task.clean and tokenizer.unk_token_id not in task.corrupted
    assert task.select([0]).left_out == task.split()[1].left_out == task.left_out
    whole = BUILDERS[name](all_words(), n=2)
    assert whole.left_out == () and "without" not in repr(whole)


def test_too_few_words_are_an_error_that_names_them() -> None:
    listed = word_lists("docstring")["arguments"]
    pieces = [piece for piece in tasks.vocabulary("docstring") if piece.strip() not in listed[7:]]
    with pytest.raises(ValueError, match=rf"7 of {len(listed)} argument names.*at least 8.*{listed[7]}"):
        tasks.docstring(word_tokenizer(pieces))
    verbs = word_lists("subject_verb_agreement")["verbs"]
    pieces = [p for p in tasks.vocabulary("subject_verb_agreement") if p.strip() not in verbs.values()]
    with pytest.raises(ValueError, match="0 of 3 verbs are one token in every form.*is/are"):
        tasks.subject_verb_agreement(word_tokenizer(pieces))


def test_a_long_list_of_words_is_shortened() -> None:
    words = tuple(f"w{number}" for number in range(15))
    assert str(LeftOut("names", words, 40)).endswith("w11 and 3 more)")


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("name", [*BUILDERS, "repeated_random_tokens"])
def test_prompts_begin_as_the_models_texts_do(name: str, default: bool) -> None:
    model = HookedTransformer({**reading_model().cfg.to_dict(), "default_prepend_bos": default})
    model.set_tokenizer(all_words())
    assert model.cfg.default_prepend_bos == default
    task = getattr(tasks, name)(model, n=6, seed=1)
    bos = all_words().bos_token_id
    for prompts in (task.clean, task.corrupted):
        assert [row.tolist().count(bos) for row in prompts] == [int(default)] * 6
        assert ((prompts[:, 0] == bos) == default).all()
    if name != "repeated_random_tokens":
        text = model.to_string(task.clean[0, int(default) : task.clean.lengths[0]])
        assert torch.equal(model.to_tokens(text)[0].ids, task.clean[0][: task.clean.lengths[0]].ids)
