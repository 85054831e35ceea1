"""Commands that ask a store, as a reader types them."""

import pytest

from mechscope.cli.main import main
from mechscope.neuroscope import folders
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.export import read_batch
from mechscope.neuroscope.store import NeuroscopeStore
from tests.neuroscope import stores


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "stores"))
    monkeypatch.setattr(folders, "READY", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    stores.toy_store(tmp_path / "stores" / "toy")
    return tmp_path


def neuroscope(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["neuroscope", *arguments])
    return int(stopped.value.code or 0)


def test_a_unit_is_shown_with_all_that_is_known(capsys):
    with NeuroscopeStore.open("toy") as store:
        label = store.labels.add("mlp0/1", "cats, and what they sit on")
        store.labels.set_scores(label.id, {"balanced accuracy": 0.75})
    assert neuroscope("show", "toy/mlp0/1") == 0
    shown = capsys.readouterr().out
    for expected in (
        "above 0 at 33.33% of 1,000 tokens (without 3 attention sinks)",
        "Labels: 1 label; not tested",
        "label  cats, and what they sit on  (balanced accuracy 0.75)",
        "promotes        ␣cat +0.50  ␣sat +0.25",
        "similar weights mlp0/2 +0.88  mlp0/0 -0.50",
        "active together attn0.entropy/1 +0.75",
        "     3.50   the[ cat] sat on",
        "     2.50  <b>⏎[ cat]",
        "  50.0%      0.500  <b>[⏎] cat",
        "0 to 0.5 66.67% ████████████████████████████████████████",
    ):
        assert expected in shown, expected
    assert "\x1b" not in shown


def test_tokens_are_coloured_where_the_terminal_can(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm")
    assert neuroscope("show", "toy/mlp0/1") == 0
    # The strongest activation has the full colour.
    assert "48;2;230;120;20m cat" in capsys.readouterr().out


def test_texts_cannot_control_the_terminal(place, capsys):
    from mechscope.neuroscope.writing import write_contents

    vocabulary = list(enumerate(stores.VOCABULARY))
    vocabulary[1] = (1, "\x1b[2J\r")
    write_contents(place / "stores" / "toy", stores.contents(vocabulary=vocabulary))
    assert neuroscope("show", "toy/mlp0/1") == 0
    assert neuroscope("search", "sat", "--model", "toy") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\r" not in shown
    assert r"the[\x1b[2J\r] sat" in shown


def test_units_are_found(capsys):
    assert neuroscope("search", "cat", "sat", "--model", "toy") == 0
    assert "toy/mlp0/1" in (shown := capsys.readouterr().out) and "the cat sat on" in shown
    assert neuroscope("search", "cat", "--token", "--model", "toy") == 0
    assert "2 of 2" in capsys.readouterr().out
    assert neuroscope("units", "--sort", "sparse", "--model", "toy", "--sites", "mlp0", "--limit", "1") == 0
    shown = capsys.readouterr().out
    assert "toy/mlp0/1" in shown and "toy/mlp0/2" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "toy/mlp0"], "is not the address of a unit"),
        (["show", "toy/mlp0/9"], "there is no unit 9"),
        (["show", "tow/mlp0/9"], "Did you mean toy?"),
        (["show", "toy/mlp0/1", "--contexts", "0"], "--contexts must be at least 1"),
        (["search", "!!", "--model", "toy"], "no word to search for"),
        (["search", "zebra", "--model", "toy"], "no label and no context has 'zebra'"),
        (["search", "zebra", "--token", "--model", "toy"], "no token 'zebra'"),
        (["units", "--sites", "mpl0", "--model", "toy"], "Did you mean mlp0?"),
        (["units", "--model", "other"], "no neuroscope store for 'other'"),
        (["export", "--sites", "mpl0", "--model", "toy"], "Did you mean mlp0?"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, words):
    assert neuroscope(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_pages_are_exported(place, capsys):
    assert neuroscope("export", "--model", "toy", "--out", "pages") == 0
    assert "Wrote 4 files to pages." in capsys.readouterr().out
    lines = read_batch(place / "pages" / "attn0.entropy" / "features" / "batch-0.jsonl.gz")
    assert [line["index"] for line in lines] == ["0", "1"]


def test_all_stores_are_checked_and_a_damaged_one_is_an_error(place, capsys):
    assert neuroscope("check") == 0
    assert "toy: whole (2 sites, 5 units" in capsys.readouterr().out
    path = place / "stores" / "toy" / "arrays-1.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert neuroscope("check", "toy") == 1
    assert "damaged" in (shown := capsys.readouterr().out) and "arrays-1.safetensors has changed" in shown
    (place / "stores" / "toy" / FILE).write_bytes(b"something else")
    assert neuroscope("check", "toy") == 2
    assert "is not a neuroscope store" in capsys.readouterr().err
