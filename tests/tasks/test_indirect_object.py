"""IOI: who stands where, what each corruption changes, and the published words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mechscope import tasks
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_lists import published_ioi_words, word_lists
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.tasks.ioi_words import get_ioi_words, in_order, with_mention
from mechscope.tasks.task import Task
from tests.tasks.readers import all_words, reading_model


def named(task: Task, tokens: torch.Tensor, position: str) -> torch.Tensor:
    return tokens[torch.arange(task.n_examples), task.positions[position]]


def answers(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    assert task.answers.wrong is not None
    return task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]


@pytest.mark.parametrize("prepend_bos", [False, True])
@pytest.mark.parametrize("order", ["BABA", "ABBA", "mixed", None])
@pytest.mark.parametrize("seed", [0, 7])
def test_names_stand_where_their_positions_say(seed: int, order: str | None, prepend_bos: bool) -> None:
    task = tasks.ioi(all_words(), n=70, seed=seed, order=order, prepend_bos=prepend_bos)
    io, s = answers(task)
    assert (io != s).all()
    assert torch.equal(named(task, task.clean, "IO"), io)
    assert torch.equal(named(task, task.clean, "S1"), s)
    assert torch.equal(named(task, task.clean, "S2"), s)
    assert ((task.clean == io[:, None]).sum(1) == 1).all() and ((task.clean == s[:, None]).sum(1) == 2).all()
    assert torch.equal(task.positions["S1+1"], task.positions["S1"] + 1)
    assert torch.equal(task.positions["end"], task.answers.positions[:, 0])
    assert ((task.clean[:, 0] == 0) == prepend_bos).all()
    first = task.positions["S1"] < task.positions["IO"]
    share = {"BABA": 1.0, "ABBA": 0.0}.get(order or "mixed")
    assert (
        abs(float(first.float().mean()) - 0.5) < 0.1
        if share is None
        else float(first.float().mean()) == share
    )
    # The prompts are sentences: read again as text they give the same tokens.
    assert task.lengths is not None
    for row, length in zip(task.clean.tolist(), task.lengths.tolist(), strict=True):
        ids = row[int(prepend_bos) : length]
        assert all_words().encode(all_words().decode(ids)) == ids and 2 not in ids


def test_corruptions_change_what_they_say() -> None:
    clean = tasks.ioi(all_words(), n=64, seed=3)
    io, s = answers(clean)
    for name, corruption in tasks.IOI_CORRUPTIONS.items():
        task = tasks.ioi(all_words(), n=64, seed=3, corruption=name)
        assert torch.equal(task.clean, clean.clean), "the corruption must not change the clean prompts"
        assert corruption.says in task.corruption
        assert torch.equal(answers(task)[0], io)
        found = {position: named(task, task.corrupted, position) for position in ("IO", "S1", "S2")}
        elsewhere = task.clean.clone()
        for position, tokens in found.items():
            elsewhere[torch.arange(64), task.positions[position]] = tokens
        assert torch.equal(elsewhere, task.corrupted), "only names may change"
        new = {position: (tokens != io) & (tokens != s) for position, tokens in found.items()}
        flat = {position: bool(values.all()) for position, values in new.items()}
        kept = {position: not bool(values.any()) for position, values in new.items()}
        if name == "ABC":
            assert all(flat.values())
            three = torch.stack([*found.values()], dim=1)
            assert all(len(set(row)) == 3 for row in three.tolist())
        elif name.endswith("random"):
            changed = name.removesuffix("_random")
            assert flat == {position: position == changed for position in found}
            assert kept == {position: position != changed for position in found}
        else:
            expected = {"S2": (io, s, io), "names": (s, io, io), "order": (s, io, s)}[name]
            for got, want in zip(found.values(), expected, strict=True):
                assert torch.equal(got, want)


def test_seeds_vary_and_reproduce() -> None:
    one, again, other = (tasks.ioi(all_words(), n=40, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.clean, again.clean) and torch.equal(one.corrupted, again.corrupted)
    assert not torch.equal(one.clean, other.clean)
    assert one.seed == 1


def test_templates_take_turns() -> None:
    task = tasks.ioi(all_words(), n=64)
    assert task.templates is not None
    assert task.templates.bincount().tolist() == [2] * 32
    # One template of one order has one set of positions; that is what means by template rely on.
    for template in task.templates.unique():
        assert task.select((task.templates == template).nonzero().flatten()).aligned


def test_aligned_and_single_templates() -> None:
    assert not tasks.ioi(all_words(), n=64).aligned
    aligned = tasks.ioi(all_words(), n=64, aligned=True)
    assert aligned.aligned and aligned.lengths is None
    assert aligned.templates is not None and len(aligned.templates.unique()) > 1
    one = tasks.ioi(all_words(), n=8, templates=3, order="ABBA")
    assert one.aligned and one.templates is not None and set(one.templates.tolist()) == {16 + 3}
    several = tasks.ioi(all_words(), n=8, templates=[2, 5], order="BABA").templates
    assert several is not None and set(several.tolist()) == {2, 5}


def test_a_task_goes_through_a_model() -> None:
    model = reading_model()
    task = tasks.ioi(model, n=10)
    baselines = task.baselines(model)
    assert baselines.clean.shape == (10,)
    found = task.logits(model, task.clean).detach()
    # Padding is not read: each prompt alone gives the same.
    assert task.lengths is not None
    for row, length in enumerate(task.lengths.tolist()):
        logits = model(task.clean[row : row + 1, :length])[0, -1]
        assert torch.allclose(logits, found[row, 0], atol=1e-5)


@pytest.mark.parametrize("mention", ["IO", "S", "other"])
def test_a_second_mention(mention: str) -> None:
    task = tasks.ioi_double_io(all_words(), n=60, seed=5, mention=mention)
    io, s = answers(task)
    extra = named(task, task.clean, "C")
    assert torch.equal((task.clean == io[:, None]).sum(1) == 2, extra == io)
    assert {"IO": bool((extra == io).all()), "S": bool((extra == s).all())}.get(
        mention, bool(((extra != io) & (extra != s)).all())
    )
    assert (task.positions["C"] < task.positions["S2"]).all()
    assert (task.positions["C"] > torch.maximum(task.positions["S1"], task.positions["IO"])).all()
    gone = torch.stack([named(task, task.corrupted, position) for position in ("IO", "S1", "S2", "C")], dim=1)
    assert all(len(set(row)) == 4 for row in gone.tolist())
    assert not (gone == io[:, None]).any() and not (gone == s[:, None]).any()
    swapped = tasks.ioi_double_io(all_words(), n=60, seed=5, mention=mention, corruption="names")
    expected = {"IO": s, "S": io}.get(mention, extra)
    assert torch.equal(named(swapped, swapped.corrupted, "C"), expected)


def test_ones_own_words() -> None:
    words = {
        "names": ["Ann", "Bo", "Cy", "Di", "Ed"],
        "templates": ["When [B] and [A] came to the [PLACE], [B] waved to [A]"],
        "places": ["hut", "far away"],
    }
    tokenizer = word_tokenizer(text_pieces("When Ann and Bo came to the hut, Cy waved to Di Ed. a book"))
    task = tasks.ioi(tokenizer, n=5, words=words, order="BABA")
    assert task.aligned
    text = tokenizer.decode(task.clean[0])
    s, io = (text.split()[place] for place in (1, 3))
    assert text == f"When {s} and {io} came to the hut, {s} waved to"
    with pytest.raises(
        ValueError,
        match="4 of 5 names are one token .* left out: Ed",
    ):
        tasks.ioi(word_tokenizer(text_pieces("When Ann and Bo came to the hut, Cy waved to Di")), words=words)


def test_bad_input() -> None:
    reader = all_words()
    with pytest.raises(ValueError, match="unknown IOI corruption 'abc'; choose from ABC, S2"):
        tasks.ioi(reader, corruption="abc")
    with pytest.raises(ValueError, match='order must be "BABA"'):
        tasks.ioi(reader, order="AB")
    with pytest.raises(ValueError, match="mixed orders"):
        tasks.ioi(reader, order="mixed", aligned=True)
    with pytest.raises(ValueError, match="numbers from 0 to 15"):
        tasks.ioi(reader, templates=16)
    with pytest.raises(ValueError, match="one or more numbers"):
        tasks.ioi(reader, templates=[])
    with pytest.raises(ValueError, match="at least 1"):
        tasks.ioi(reader, n=0)
    with pytest.raises(ValueError, match='"ours", "published"'):
        tasks.ioi(reader, words="theirs")
    with pytest.raises(ValueError, match="not 'name'"):
        tasks.ioi(reader, words={"name": ["Ann"]})
    with pytest.raises(ValueError, match="list of names"):
        tasks.ioi(reader, words={"names": "Ann"})
    with pytest.raises(ValueError, match="once and"):
        tasks.ioi(reader, words={"templates": ["[S] saw [IO]"]})
    with pytest.raises(ValueError, match=r"begin with \[S\]"):
        tasks.ioi(reader, words={"templates": ["Then [IO] and [S] met [S] of"]})
    with pytest.raises(ValueError, match=r"has \[TOWN\]"):
        tasks.ioi(reader, words={"templates": ["In [TOWN] [S] and [IO] met; [S] spoke to"]})
    with pytest.raises(ValueError, match="left out: Xenophon, Ypsilanti"):
        tasks.ioi(reader, words={"names": ["Xenophon", "Anna", "Ypsilanti", "Peter"]})
    with pytest.raises(ValueError, match="does not know 'Tomorrow'"):
        tasks.ioi(reader, words={"templates": ["Tomorrow [S] and [IO] met at the [PLACE], [S] gave"]})
    with pytest.raises(ValueError, match="two sentences"):
        tasks.ioi_double_io(reader, templates=0)
    with pytest.raises(ValueError, match='mention must be "IO"'):
        tasks.ioi_double_io(reader, mention="B")
    with pytest.raises(ValueError, match="n_ctx=10"):
        tasks.ioi(reading_model(10), n=4)
    with pytest.raises(TypeError, match="not int"):
        tasks.ioi(113)


def test_our_lists_are_in_order() -> None:
    lists = word_lists("ioi")
    for key in ("names", "places", "objects", "templates"):
        assert len(set(lists[key])) == len(lists[key])
    # "a [OBJECT]" must stay English.
    assert not [word for word in lists["objects"] + lists["places"] if word[0] in "aeiou"]
    assert len(lists["templates"]) >= 10
    words = get_ioi_words("ours")
    assert in_order(words.templates[0], "ABBA").index("[IO]") < in_order(words.templates[0], "ABBA").index(
        "[S]"
    )
    assert sum(with_mention(text, "[C] slept.") is not None for text in words.templates) >= 4


# With real data -------------------------------------------------------------------------------


@pytest.fixture
def gpt2(data_folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(data_folder / "gpt2_tokenizer")


def test_the_published_words_are_read_whole(gpt2: Tokenizer) -> None:
    published = published_ioi_words()
    words = get_ioi_words("published")
    assert (len(words.names), len(words.places), len(words.objects), len(words.templates)) == (99, 8, 8, 15)
    for word in (*words.names, *words.places, *words.objects):
        assert len(gpt2.encode(" " + word)) == 1
    for ours, baba, abba in zip(
        words.templates, published["templates"]["BABA"], published["templates"]["ABBA"], strict=True
    ):
        for order, theirs in (("BABA", baba), ("ABBA", abba)):
            in_theirs = in_order(ours, order).replace("[S]", "[B]").replace("[IO]", "[A]")
            assert in_theirs + " [A]" == theirs


@pytest.mark.parametrize("seed", [0, 5])
def test_published_prompts_are_the_published_sentences(gpt2: Tokenizer, seed: int) -> None:
    published = published_ioi_words()
    task = tasks.ioi(gpt2, n=120, seed=seed, words="published")
    assert task.templates is not None and task.labels is not None
    assert task.templates.bincount().tolist() == [4] * 30
    objects = set()
    for row in range(task.n_examples):
        order, number = divmod(int(task.templates[row]), 15)
        text = published["templates"]["BABA" if order == 0 else "ABBA"][number]
        sentence = "".join(task.labels[row])
        io, s = (task.labels[row][int(task.positions[name][row])].strip() for name in ("IO", "S1"))
        place = next((word for word in published["places"] if f" {word}" in task.labels[row]), "")
        thing = next((word for word in published["objects"] if f" {word}" in task.labels[row]), "")
        objects.add(thing)
        for slot, word in (("[A]", io), ("[B]", s), ("[PLACE]", place), ("[OBJECT]", thing)):
            text = text.replace(slot, word)
        assert f"{sentence} {io}" == text
    assert len(objects) > 5


def test_our_words_are_single_tokens_of_gpt2(gpt2: Tokenizer) -> None:
    lists = word_lists("ioi")
    for word in (*lists["names"], *lists["places"], *lists["objects"]):
        assert len(gpt2.encode(" " + word)) == 1, word
    task = tasks.ioi(gpt2, n=64, seed=1)
    assert task.lengths is not None
    for row, length in zip(task.clean.tolist(), task.lengths.tolist(), strict=True):
        assert gpt2.encode(gpt2.decode(row[:length])) == row[:length]
    # None of the published sentences is among ours.
    theirs = {text for family in published_ioi_words()["templates"].values() for text in family}
    mine = {text.replace("[S]", "[B]").replace("[IO]", "[A]") + " [A]" for text in lists["templates"]}
    assert not mine & theirs
