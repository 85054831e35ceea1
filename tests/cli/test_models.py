"""The list of models says what each is called, how large it is, and where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.checkpoints.registry import bundled_names, entries
from mechscope.cli.commands import Models
from mechscope.cli.models import WHERE, list_models, models


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    return tmp_path


def test_every_model_is_listed_once() -> None:
    names = [listing.name for listing in list_models()]
    assert names == [*bundled_names(), *(entry.name for entry in entries())]
    assert len(set(names)) == len(names)
    assert {listing.where for listing in list_models()} <= set(WHERE)
    assert all(listing.family for listing in list_models())


def test_a_model_in_the_data_folder_is_found(nothing_here: Path) -> None:
    folder = nothing_here / "pythia-70m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x" * 2_000_000)
    (found,) = [listing for listing in list_models() if listing.name == "pythia-70m"]
    assert (found.where, found.megabytes, found.family, found.parameters) == (
        "data folder",
        2.0,
        "Pythia",
        "70M",
    )


def test_text_and_json_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert models(Models()) == 0
    words = capsys.readouterr().out
    assert models(Models(json=True)) == 0
    listings = json.loads(capsys.readouterr().out)
    assert all(listing["name"] in words for listing in listings)
    gpt2 = next(listing for listing in listings if listing["name"] == "gpt2")
    assert gpt2["hub_id"] == "openai-community/gpt2"
    assert "gpt2-small" in gpt2["aliases"]
