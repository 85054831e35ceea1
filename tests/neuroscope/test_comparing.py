"""Comparing: equal is equal to the byte, and the first difference is named."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mechscope.neuroscope.comparing import WORK, compare
from mechscope.neuroscope.folders import VARIABLE
from mechscope.neuroscope.publish import publish
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope.small_harvest import SETTINGS, InOrder, small_harvest, write_texts
from tests.neuroscope.stores import ABOUT, contents, toy_store

HEADS = ("attn0.entropy",)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"), files=3)


def test_harvests_in_another_order_are_equal(tmp_path: Path, texts: Path) -> None:
    one = small_harvest(tmp_path / "one", texts)
    small_harvest(tmp_path / "two", texts, engine=InOrder(lambda shards: list(reversed(shards))))
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found.what, found.difference) == ("harvests", "")
    assert found.size == len(one.state().to_bytes())
    assert len(found.digest) == 64


def test_another_plan_and_another_length_are_named(tmp_path: Path, texts: Path) -> None:
    small_harvest(tmp_path / "one", texts)
    small_harvest(tmp_path / "two", texts, settings=SETTINGS.__class__(**{**vars(SETTINGS), "top": 5}))
    small_harvest(tmp_path / "three", texts, max_tokens=1)
    assert compare(tmp_path / "one", tmp_path / "two").difference == (
        "settings.top is 3 in the first and 5 in the second"
    )
    assert compare(tmp_path / "one", tmp_path / "three").difference.startswith(
        "shards is 3 in the first and 1 in the second; tokens is"
    )


@pytest.mark.parametrize(
    ("value", "words"), [(-0.0, "0.0 in the first and -0.0"), (7.0, "and 7.0 in the second")]
)
def test_one_changed_number_is_found(tmp_path: Path, texts: Path, value: float, words: str) -> None:
    for name in ("one", "two"):
        small_harvest(tmp_path / name, texts, max_tokens=1)
    file = next((tmp_path / "two" / "states").iterdir())
    tensors = load_file(file)
    window = tensors["1.low.window"]
    place = tuple((window == 0).nonzero()[0].tolist())
    window[place] = value
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(tensors, file, metadata)
    difference = compare(tmp_path / "one", tmp_path / "two").difference
    assert difference.startswith(
        f"1.low.window differs in 1 of {window.numel():,} values, first at {list(place)}: "
    )
    assert words in difference


def test_stores_are_equal_however_often_they_were_published(tmp_path: Path, texts: Path) -> None:
    for name in ("one", "two"):
        small_harvest(tmp_path / name / WORK, texts, sites=HEADS)
        publish(tmp_path / name / WORK, tmp_path / name)
    publish(tmp_path / "two" / WORK, tmp_path / "two")
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found.what, found.difference) == ("stores", "")
    assert found.size > 10_000
    # A store is compared with a harvest through its own harvest.
    assert compare(tmp_path / "one", tmp_path / "two" / WORK).what == "harvests"
    with sqlite3.connect(tmp_path / "two" / "neuroscope.sqlite") as connection:
        connection.execute("UPDATE contexts SET focus = focus + 1 WHERE unit = 3 AND kind = 0 AND rank = 1")
    connection.close()
    difference = compare(tmp_path / "one", tmp_path / "two").difference
    assert difference.startswith("in contexts, focus of the row that begins with 3 is")
    arrays = next((tmp_path / "one").glob("arrays-*.safetensors"))
    assert compare(tmp_path / "one", tmp_path / "one").digest == found.digest
    tensors = load_file(arrays)
    name = next(name for name, tensor in sorted(tensors.items()) if tensor.is_floating_point())
    tensors[name].view(-1)[0] += 1
    save_file(tensors, arrays)
    with sqlite3.connect(tmp_path / "two" / "neuroscope.sqlite") as connection:
        connection.execute("UPDATE contexts SET focus = focus - 1 WHERE unit = 3 AND kind = 0 AND rank = 1")
    connection.close()
    difference = compare(tmp_path / "one", tmp_path / "two").difference
    assert difference.startswith(f"in the arrays, {name} differs in 1 of")
    # A publication that was killed leaves its arrays behind; they belong to no table.
    (tmp_path / "two" / "arrays-99.safetensors").write_bytes(b"half a file")
    assert compare(tmp_path / "two", tmp_path / "two").digest == found.digest


def test_stores_of_models_are_compared_by_name_and_differ_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    toy_store(tmp_path / "one")
    about = dataclasses.replace(ABOUT, tokens=7, settings={"top": 5})
    write_contents(tmp_path / "two", contents(about=about))
    assert compare("one", tmp_path / "one").difference == ""
    assert compare("one", "two").difference == (
        "settings.top is 2 in the first and 5 in the second; tokens is '1003' in the first and '7' in the second"
    )
    with pytest.raises(
        FileNotFoundError, match="there is no folder onee, and no store of a model with this name"
    ):
        compare("onee", "two")


def test_folders_without_either_are_errors(tmp_path: Path, texts: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has no harvest"):
        compare(tmp_path, tmp_path)
    small_harvest(tmp_path / "work", texts, sites=HEADS)
    publish(tmp_path / "work", tmp_path / "store")
    with pytest.raises(ValueError, match=f"{tmp_path / 'store'} is a store, and {tmp_path / 'work'} is not"):
        compare(tmp_path / "work", tmp_path / "store")
