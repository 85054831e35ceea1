"""Labels, as a reader writes and tests them on the command line."""

import re

import pytest

from mechscope.cli.main import main
from mechscope.neuroscope import folders
from mechscope.neuroscope.ready import PACKAGED_LABELS
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores
from tests.neuroscope.labels import planted_store as planted

READY = folders.READY / "mini-gelu-1l"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "stores"))
    monkeypatch.chdir(tmp_path)
    planted.planted_store(tmp_path / "stores" / "planted")
    return tmp_path


def neuroscope(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["neuroscope", *arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def without_a_model(monkeypatch):
    from mechscope.neuroscope.labels import scoring

    monkeypatch.setattr(scoring, "read_units", planted.read_planted)
    monkeypatch.setattr(scoring, "open_units", lambda store, sites: None)


def test_a_label_of_the_packaged_store_is_written_and_tested(capsys):
    unit, number = "mini-gelu-1l/mlp0/94", len(PACKAGED_LABELS) + 1
    assert neuroscope("label", unit, "indentation of a new line", "--regex", r"\n( +)", "--at", "first") == 0
    shown = capsys.readouterr().out
    assert f"{unit} has label {number}" in shown and f"mechscope neuroscope score {unit}" in shown
    assert neuroscope("score", unit) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^holds: The rule finds \d\d% of the tokens", shown, re.MULTILINE)
    assert "documents that its page does not show" in shown and "other units" in shown
    assert "It fires here, but the rule does not match" in shown and "\x1b" not in shown
    assert "Near misses: it fires on the same token elsewhere, but not here" in shown
    assert neuroscope("labels") == 0
    shown = capsys.readouterr().out
    assert re.search(rf"{number} +mlp0/94 +holds +0\.\d\d", shown) and "indentation of a new line" in shown
    with NeuroscopeStore.open("mini-gelu-1l") as store:
        assert store.folder != READY and len(store.labels.all()) == number
    # Labels come last, so that a reader can guess first.
    assert neuroscope("show", unit, "--contexts", "2") == 0
    shown = capsys.readouterr().out
    assert shown.index("At random") < shown.index("Labels: 1 label; it holds") < shown.index("Near misses")


def test_all_labels_are_tested_and_what_cannot_be_is_said(without_a_model, place, capsys):
    (place / "mine.py").write_text("def cat(before, token, after):\n    return token == ' cat'\n")
    for unit, *rule in (
        ("planted/mlp0/0", "cats", "--words", "cat"),
        ("planted/mlp0/1", "cats too", "--tokens", " cat", " dog"),
        ("planted/mlp0/0", "cats by a function", "--predicate", "mine.py:cat"),
        ("planted/mlp0/0", "like its own", "--like", "planted/mlp0/0/top"),
        ("planted/mlp0/2", "nobody knows"),
    ):
        assert neuroscope("label", unit, *rule) == 0
    capsys.readouterr()
    assert neuroscope("score", "--all", "--model", "planted") == 0
    shown = capsys.readouterr().out
    assert "holds: The rule finds 100%" in shown and "does not hold: " in shown
    assert "label 3 of planted/mlp0/0 is not scored: the rule is the function mine.py:cat" in shown.replace(
        "\n", " "
    )
    assert "label 5 of planted/mlp0/2 is not scored: the label has no rule" in shown
    assert neuroscope("score", "planted/mlp0/0", "--predicate", "mine.py:cat") == 0
    capsys.readouterr()
    assert neuroscope("labels", "--model", "planted", "--holding") == 0
    shown = capsys.readouterr().out
    assert "cats by a function" in shown and "cats too" not in shown and "nobody" not in shown
    (place / "mine.py").write_text("def cat(before, token, after):\n    return True\n")
    assert neuroscope("score", "planted/mlp0/0", "--predicate", "mine.py:cat") == 0
    assert "the file of mine.py:cat has changed since the label was written" in capsys.readouterr().out
    # Another harvest, and one label less.
    write_contents(place / "stores" / "planted", stores.contents("planted"))
    assert neuroscope("labels", "--model", "planted", "--remove", "5") == 0
    assert neuroscope("labels", "--model", "planted") == 0
    shown = capsys.readouterr().out
    assert (
        "holds *" in shown and "The harvest or the test has changed" in shown and "nobody knows" not in shown
    )


def test_a_label_of_a_unit_that_another_harvest_does_not_have(without_a_model, place, capsys):
    for unit in ("5", "2"):
        assert neuroscope("label", f"planted/mlp0/{unit}", "cats", "--words", "cat") == 0
    write_contents(place / "stores" / "planted", stores.contents("planted"))
    capsys.readouterr()
    assert neuroscope("score", "--all", "--model", "planted") == 0
    shown = capsys.readouterr().out
    assert "label 1 of planted/mlp0/5 is not scored: mlp0 has units 0 to 2; there is no unit 5." in shown
    assert "planted/mlp0/2  cats" in shown


def test_evidence_is_shown_with_coloured_tokens(without_a_model, place, monkeypatch, capsys):
    assert neuroscope("label", "planted/mlp0/0", "dogs", "--words", "dog") == 0
    assert neuroscope("score", "planted/mlp0/0") == 0
    capsys.readouterr()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm")
    for command in (
        ["score", "planted/mlp0/0"],
        ["show", "planted/mlp0/0"],
        ["labels", "--model", "planted", "--evidence"],
    ):
        assert neuroscope(*command) == 0
        shown = capsys.readouterr().out
        missed = shown[shown.index("It fires here, but") : shown.index("The rule matches here, but")]
        # The strongest activation has the full colour, and the token in question is in brackets.
        assert re.search(r"4\.00 .*\[.*48;2;230;120;20m cat", missed)
    # A label whose unit another harvest does not have still has its evidence.
    monkeypatch.delenv("FORCE_COLOR")
    write_contents(
        place / "stores" / "planted", stores.contents("planted", sites=(), site_sizes={}, co_activation=())
    )
    assert neuroscope("labels", "--model", "planted", "--evidence") == 0
    shown = capsys.readouterr().out
    assert "Label 1 of planted/mlp0/0: dogs" in shown and shown.count("[ dog]") == 5


def test_a_corpus_that_is_not_there_is_said_even_if_it_is_not_needed(without_a_model, capsys):
    assert neuroscope("label", "planted/mlp0/0", "cats", "--words", "cat") == 0
    assert neuroscope("score", "planted/mlp0/0", "--corpus", "nowhere") == 2
    assert "there is no corpus 'nowhere'" in capsys.readouterr().err


def test_a_corpus_that_is_not_needed_is_not_left_out_without_a_word(without_a_model, capsys):
    for unit in (planted.PLANTED, planted.DEAD):
        assert neuroscope("label", f"planted/mlp0/{unit}", "cats", "--words", "cat") == 0
    capsys.readouterr()
    assert neuroscope("score", "--all", "--model", "planted", "--corpus", "held-out") == 0
    shown = capsys.readouterr().out
    assert "--corpus held-out was not read: in the stored sample, this unit fires often enough" in shown
    assert "--corpus held-out was not read: more text would not change this verdict" in shown
    assert neuroscope("score", "--all", "--model", "planted") == 0
    assert "was not read" not in capsys.readouterr().out


def test_a_label_is_suggested_and_kept(without_a_model, capsys):
    assert neuroscope("suggest", "planted/mlp0/0") == 0
    assert "fires on ␣cat" in capsys.readouterr().out
    assert neuroscope("suggest", "planted/mlp0/0", "--keep") == 0
    capsys.readouterr()
    assert neuroscope("score", "planted/mlp0/0") == 0
    assert "holds: The rule finds 100%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["label", "planted/mlp0/0", "x", "--words", "a", "--regex", "b"], "you gave --words and --regex"),
        (["label", "planted/mlp0/0", "x", "--regex", "("], "cannot be read: missing"),
        (["label", "planted/mlp0/0", "x", "--tokens", "zebra"], "no token 'zebra'"),
        (["label", "planted/mlp0/0", "x", "--tokens", " cat", "--at", "first"], "--at is about matches"),
        (
            ["label", "planted/mlp0/0", "x", "--like", "planted/mlp0/2"],
            "fires at none of its stored contexts",
        ),
        (["label", "planted/mlp0/0", "x", "--predicate", "none.py:f"], "no file none.py"),
        (["label", "planted/mlp0/99", "x"], "no unit 99"),
        (["score"], "or --all"),
        (["score", "planted/mlp0/0"], "has no label to score"),
        (["score", "planted/mlp0/0", "--seeds", "-1"], "must not be negative"),
        (["score", "mini-gelu-1l/mlp0/0"], "mini-gelu-1l/mlp0/0 has no label"),
        (["labels", "--model", "planted"], "no labels yet"),
        (["labels", "--model", "planted", "--holding"], "no label of planted holds"),
        (["labels", "--model", "planted", "--remove", "7"], "no label 7"),
        (["suggest", "planted/mlp0/2"], "no token is clearly more frequent"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, words):
    assert neuroscope(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
