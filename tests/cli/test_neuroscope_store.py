"""Commands that ask a store, as a reader types them."""

import errno
import json

import pytest

from mechscope.cli.main import main
from mechscope.neuroscope import folders
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.export import read_batch
from mechscope.neuroscope.store import NeuroscopeStore
from tests.neuroscope import stores

PACKAGE = folders.READY


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
        (["units", "--store", "nothing"], "there is no neuroscope store in nothing"),
        (["units", "--model", "./nothing"], "`mechscope neuroscope harvest MODEL --out FOLDER` makes one"),
        (["export", "--sites", "mpl0", "--model", "toy"], "Did you mean mlp0?"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, words):
    assert neuroscope(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["units"], ["search", "cat"], ["fire", "cat"], ["export"], ["labels"], ["score", "--all"]],
    ids=lambda arguments: arguments[0],
)
def test_a_folder_and_a_model_are_not_both_given(arguments, place, capsys):
    assert neuroscope(*arguments, "--model", "toy", "--store", "stores/toy") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--store stores/toy and --model toy both name a store" in said
    assert not (place / "neuroscope-export").exists()


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
    assert "toy: damaged (2 sites" in shown
    (place / "stores" / "toy" / FILE).write_bytes(b"something else")
    stores.toy_store(place / "stores" / "whole")
    # One that cannot be read does not keep the others from being checked.
    assert neuroscope("check", "toy", "whole") == 1
    shown = capsys.readouterr().out
    assert (
        "toy: cannot be read\n" in shown
        and "is not a neuroscope store" in shown
        and "whole: whole (2 sites" in shown
    )
    assert neuroscope("check", "--json") == 1
    bad, good = json.loads(capsys.readouterr().out)
    assert (bad["whole"], good["whole"], good["counts"]["units"]) == (False, True, 5)


def test_scripts_get_json(place, capsys):
    def answer(*arguments: str):
        assert neuroscope(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    folder = ("--store", str(place / "stores" / "toy"))
    with NeuroscopeStore.open("toy") as store:
        label = store.labels.add("mlp0/1", "cats, and what they sit on")
        page = store.unit("mlp0/1")
    unit = answer("show", "toy/mlp0/1")
    assert (unit["site"], unit["unit"], unit["statistics"]["tokens"]) == ("mlp0", 1, page.statistics.tokens)
    assert unit["contexts"][0]["tokens"] == list(page.contexts[0].tokens)
    assert unit["labels"][0]["text"] == label.label
    (first,) = answer("units", "--sort", "sparse", "--sites", "mlp0", "--limit", "1", *folder)
    assert (
        first["address"] == "toy/mlp0/1"
        and first["sparse"] == first["firing_rate"] == page.statistics.firing_rate
    )
    found = answer("search", "cats", *folder)
    assert found == {"labels": [{"address": "toy/mlp0/1", "label": label.label}], "units": []}
    assert answer("search", "zebra", "--model", "toy") == {"labels": [], "units": []}
    (one, *_) = answer("search", "cat", "--token", *folder)["units"]
    assert (one["address"], one["contexts"], one["of"]) == ("toy/mlp0/1", 2, 2)
    (listed,) = answer("labels", *folder)
    assert (listed["id"], listed["address"], listed["scores"]) == (label.id, "toy/mlp0/1", None)
    with NeuroscopeStore.open("toy") as store:
        store.labels.set_scores(label.id, {"AUC": 0.75, "missed": []})
    # The texts are long.
    assert answer("labels", *folder)[0]["scores"] == {"AUC": 0.75}
    assert answer("labels", "--evidence", *folder)[0]["scores"] == {"AUC": 0.75, "missed": []}
    assert answer("labels", "--holding", *folder) == []


def test_a_text_is_tried_on_the_store_of_the_package(monkeypatch, capsys):
    # Its settings are read, whichever version wrote them.
    monkeypatch.setattr(folders, "READY", PACKAGE)
    assert neuroscope("fire", "import os", "--sites", "mlp0", "--limit", "1", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    (unit,) = answer["units"]
    assert unit["address"].startswith("mini-gelu-1l/mlp0/") and 0 <= unit["position"] < len(answer["tokens"])
    assert "".join(answer["tokens"]) == "<|bos|>import os"


def test_a_first_harvest_that_was_stopped_hides_no_store_of_the_package(place, monkeypatch, capsys):
    from mechscope.neuroscope.connections import writing

    monkeypatch.setattr(folders, "READY", place / "package")
    stores.toy_store(place / "package" / "other")
    with writing(place / "stores" / "other" / FILE):
        pass
    assert neuroscope("units", "--model", "other") == 0
    assert "mlp0/1" in capsys.readouterr().out
    # A folder that is named is the one that is meant.
    assert neuroscope("units", "--model", str(place / "stores" / "other")) == 2
    assert "without contents" in capsys.readouterr().err


def test_a_histogram_fits_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert neuroscope("show", "toy/mlp0/1") == 0
    longest = next(line for line in capsys.readouterr().out.splitlines() if "66.67%" in line)
    assert longest.endswith("█") and len(longest) == 40


def test_an_export_to_a_full_disk_is_no_mistake_in_the_arguments(monkeypatch, capsys):
    from mechscope.neuroscope import export
    from mechscope.storage.files import NotKeptError

    def full(path, data):
        raise NotKeptError(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(export, "write_atomically", full)
    assert neuroscope("export", "--model", "toy", "--out", "pages") == 1
    assert "Make room there" in capsys.readouterr().err
